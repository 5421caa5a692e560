"""Reads when a photo was taken from its file's name, as phones and messengers write it.

Messengers take the metadata out of what they send, and a copy's file is as old as the copying: the
name is then all that says when the photo was taken.
"""

import os
import re
from datetime import datetime, timedelta

from .capture_time import EPOCH, CaptureTime

# 2024-03-15, 2024_03_15 or 2024.03.15, and a time as 18.22.07, 18-22-07, 182207 or "at 18:22:07".
WRITTEN = re.compile(
    r"(?<!\d)((?:19|20)\d\d)([-_.])(\d\d)\2(\d\d)"
    r"(?:(?:,? at |[-_. T])(\d\d)([-_.:h]?)(\d\d)\6(\d\d))?(?!\d)"
)
# Eight digits alone may be any number: they are a date with a time behind them, or after what
# cameras and messengers begin their names with.
DIGITS = re.compile(
    r"(?:^|[-_ ])(?:(?P<known>IMG|VID|PXL|MVIMG|PANO|BURST|PHOTO|IMAGE|SCREENSHOT|SIGNAL)[-_ ]?)?"
    r"((?:19|20)\d\d)(\d\d)(\d\d)(?:[-_. T]?(\d\d)(\d\d)(\d\d)\d{0,3})?(?!\d)",
    re.IGNORECASE,
)
# There were digital cameras, and such names, from about then on.
MIN_YEAR = 1990


def date_in_name(path: bytes) -> CaptureTime | None:
    """Return when a photo was taken, by the last part of a path; None if that names no date.

    A date without a time is its first moment. Names do not say in which zone.
    """
    name = os.path.splitext(os.fsdecode(os.path.basename(path)))[0]
    for match in WRITTEN.finditer(name):
        year, _, month, day, hour, _, minute, second = match.groups()
        found = _moment(year, month, day, hour, minute, second)
        if found is not None:
            return found
    for match in DIGITS.finditer(name):
        known, year, month, day, hour, minute, second = match.groups()
        found = _moment(year, month, day, hour, minute, second)
        if found is not None and (known or hour is not None):
            return found
    return None


def _moment(
    year: str, month: str, day: str, hour: str | None, minute: str | None, second: str | None
) -> CaptureTime | None:
    try:
        date = datetime(int(year), int(month), int(day))
        if hour is not None and minute is not None and second is not None:
            date = date.replace(hour=int(hour), minute=int(minute), second=int(second))
    except ValueError:
        return None
    if date.year < MIN_YEAR:
        return None
    return CaptureTime((date - EPOCH) // timedelta(seconds=1))
