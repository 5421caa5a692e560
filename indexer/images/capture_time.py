"""When a photo was taken, as its file says: EXIF first, then XMP.

Source: CIPA DC-008 (Exif 2.32), section 4.6.6; XMP specification part 2.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

EXIF_IFD = 0x8769
OFFSET_TIME = 0x9010
# The date and its zone, best first: when the light fell, when it was digitised, the file's date.
EXIF_TAGS = ((0x9003, 0x9011), (0x9004, 0x9012), (0x0132, OFFSET_TIME))
XMP_DATE = re.compile(
    r"(exif:DateTimeOriginal|photoshop:DateCreated|xmp:CreateDate)"
    r"""(?:\s*=\s*["']|\s*>\s*)([0-9][^"'<]*)"""
)
DATE = re.compile(
    r"\s*(\d{4})[:/-](\d{1,2})[:/-](\d{1,2})[ T]+(\d{1,2}):(\d{1,2})(?::(\d{1,2}))?(.*)", re.DOTALL
)
ZONE = re.compile(r"(?:[.,]\d+)?\s*(?:(Z)|([+-])(\d{1,2}):?(\d{2}))")
# The first photograph; cameras without a clock say year 0 or 1.
EARLIEST_YEAR = 1826
WIDEST_OFFSET = 15 * 60
EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class CaptureTime:
    """seconds: since 1970 of the wall clock where the photo was taken, as if that were UTC.

    offset: that clock's minutes east of UTC; None where the file does not say.
    """

    seconds: int
    offset: int | None = None


def capture_time_of(image: "Image.Image") -> CaptureTime | None:
    """When an opened image was taken; None where it says nothing, or nonsense."""
    try:
        found = capture_time_of_exif(image.getexif())
    except Exception:  # a broken EXIF block is no reason to lose the image
        found = None
    return found or _capture_time_of_xmp(image.info)


def capture_time_of_exif(exif: "Image.Exif") -> CaptureTime | None:
    """The first of EXIF's dates that makes sense."""
    inner = exif.get_ifd(EXIF_IFD)
    for date, zone in EXIF_TAGS:
        value = inner.get(date) or exif.get(date)
        offset = _text(inner.get(zone)) or _text(inner.get(OFFSET_TIME))
        found = parse(_text(value), zone=offset)
        if found is not None:
            return found
    return None


def parse(text: str, *, zone: str = "") -> CaptureTime | None:
    """A date as EXIF or XMP write it. zone: `+02:00`, where it stands apart."""
    match = DATE.match(text)
    if match is None:
        return None
    *numbers, rest = match.groups()
    try:
        moment = datetime(*(int(number or 0) for number in numbers))  # type: ignore[arg-type]
    except ValueError:
        return None
    return checked(moment, _offset(rest) if _offset(rest) is not None else _offset(zone))


def checked(moment: datetime, offset: int | None = None) -> CaptureTime | None:
    """None for a wall clock before photography or after tomorrow: a camera's clock was wrong."""
    tomorrow = datetime.now(UTC).replace(tzinfo=None) + timedelta(days=2)
    if moment.year < EARLIEST_YEAR or moment > tomorrow:
        return None
    return CaptureTime((moment - EPOCH) // timedelta(seconds=1), offset)


def _offset(text: str) -> int | None:
    match = ZONE.match(text)
    if match is None:
        return None
    utc, sign, hours, minutes = match.groups()
    if utc:
        return 0
    total = 60 * int(hours) + int(minutes)
    if total > WIDEST_OFFSET or int(minutes) > 59:
        return None
    return -total if sign == "-" else total


def _text(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    return value.replace("\0", " ").strip() if isinstance(value, str) else ""


def _capture_time_of_xmp(info: dict[Any, Any]) -> CaptureTime | None:
    dates = dict(_xmp_dates(info))
    for name in ("exif:DateTimeOriginal", "photoshop:DateCreated", "xmp:CreateDate"):
        found = parse(dates.get(name, ""))
        if found is not None:
            return found
    return None


def _xmp_dates(info: dict[Any, Any]) -> Iterator[tuple[str, str]]:
    for key in ("xmp", "XML:com.adobe.xmp"):
        block = info.get(key) or ""
        if isinstance(block, bytes):
            block = block.decode("utf-8", "replace")
        if isinstance(block, str):
            yield from XMP_DATE.findall(block)
