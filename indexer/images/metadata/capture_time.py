"""Reads when a photo was taken from its file: EXIF first, then XMP.

Source: CIPA DC-008 (Exif 2.32), section 4.6.6; XMP specification part 2.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

EXIF_IFD = 0x8769
OFFSET_TIME = 0x9010
# Each date and its zone, best first: when it was photographed, digitised, and last changed.
EXIF_TAGS = ((0x9003, 0x9011), (0x9004, 0x9012), (0x0132, OFFSET_TIME))
# XMP names a year, a month or a day where no more is known; EXIF leaves the unknown part blank, or
# writes zeros.
DATE = re.compile(
    r"\s*(\d{4})(?:[:/-](\d{1,2})(?:[:/-](\d{1,2}))?)?"
    r"(?:[ T]+(\d{1,2}):(\d{1,2})(?::(\d{1,2}))?)?(?![\d/])(.*)",
    re.DOTALL,
)
ZONE = re.compile(r"(?:[.,]\d+)?\s*(?:(Z)|([+-])(\d{1,2}):?(\d{2}))")
# What may follow a date without a time: nothing, a zone, or a time that was left blank.
UNTIMED = re.compile(r"[\sT:]*(?:Z|[+-]\d{1,2}:?\d{2})?\s*$")
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
    *day, hour, minute, second, rest = match.groups()
    year, month, day_of_month = (int(number or 0) for number in day)
    if hour is None and not UNTIMED.match(rest):
        return None
    if not month and day_of_month:
        return None
    clock = timedelta(hours=int(hour or 0), minutes=int(minute or 0), seconds=int(second or 0))
    # Midnight may be written as the end of its day, and a leap second as the 60th.
    if int(minute or 0) > 59 or int(second or 0) > 60 or clock > timedelta(days=1):
        return None
    try:
        moment = datetime(year, month or 1, day_of_month or 1) + clock
    except (ValueError, OverflowError):
        return None
    return checked(moment, _offset(rest) if _offset(rest) is not None else _offset(zone))


def checked(moment: datetime, offset: int | None = None) -> CaptureTime | None:
    """Return a capture time; None before there was photography.

    A date in the future is kept: whether the camera's clock was wrong or this machine's shows only
    when somebody asks (`indexer.store.clock`).
    """
    if moment.year < MIN_YEAR:
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
    for key in ("xmp", "XML:com.adobe.xmp"):
        block = info.get(key)
        if block and isinstance(block, bytes | str):
            # Most images have no XMP, or say in EXIF what it says.
            from .xmp import dates_of

            for text in dates_of(block):
                found = parse(text)
                if found is not None:
                    return found
    return None
