"""Reads when a photo was taken from its file: EXIF first, then XMP.

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
# Each date and its zone, best first: when it was photographed, digitised, and last changed.
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
MIN_YEAR = 1826
# Minutes from UTC.
MAX_OFFSET = 15 * 60
EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class CaptureTime:
    """The wall clock of the place where a photo was taken.

    Attributes:
        seconds: Since 1970, as if that clock were UTC.
        offset: Minutes of that clock east of UTC; None if the file does not say.
    """

    seconds: int
    offset: int | None = None


def capture_time_of(image: "Image.Image") -> CaptureTime | None:
    """Return when an opened image was taken; None if it has no sensible date."""
    try:
        found = capture_time_of_exif(image.getexif())
    except Exception:  # an image with a broken EXIF block is still worth indexing
        found = None
    return found or _capture_time_of_xmp(image.info)


def capture_time_of_exif(exif: "Image.Exif") -> CaptureTime | None:
    """Return the first sensible one of EXIF's dates."""
    inner = exif.get_ifd(EXIF_IFD)
    for date, zone in EXIF_TAGS:
        value = inner.get(date) or exif.get(date)
        offset = _text(inner.get(zone)) or _text(inner.get(OFFSET_TIME))
        found = parse(_text(value), zone=offset)
        if found is not None:
            return found
    return None


def parse(text: str, *, zone: str = "") -> CaptureTime | None:
    """Parse a date as EXIF or XMP write it.

    Args:
        text: The date.
        zone: An offset such as `+02:00` that is stored apart from the date.

    Returns:
        None if the text is not a date, or not a sensible one.
    """
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
    """Return a capture time; None before photography or after tomorrow, when a clock was wrong."""
    tomorrow = datetime.now(UTC).replace(tzinfo=None) + timedelta(days=2)
    if moment.year < MIN_YEAR or moment > tomorrow:
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
    if total > MAX_OFFSET or int(minutes) > 59:
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
