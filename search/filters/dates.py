"""Parses dates as people write them, for `--since` and `--until`."""

import re
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta, timezone

from indexer.errors import QueryError
from indexer.store.records import Moment

EPOCH = datetime(1970, 1, 1)
ACCEPTED = (
    "2024, 2024-07, 2024-07-14, 2024-07-14T12:30 (with Z or +02:00 if you like), today, "
    "yesterday, or 7d, 3w, 6m, 2y ago"
)
WRITTEN = re.compile(
    r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2})(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?)?)?)?"
    r"(?:\s*(Z|[+-]\d{2}:?\d{2}))?",
    re.IGNORECASE,
)
DAY = re.compile(r"(\d{1,2})-(\d{1,2})")
# Of its days, each year has some or all.
LEAP_YEAR = 2000
AGO = re.compile(r"(\d{1,5})\s*([dwmy])(?:\s+ago)?", re.IGNORECASE)


def since(text: str, *, now: datetime | None = None) -> Moment:
    """Return the first moment of the year, month, day or minute that a text names.

    Args:
        text: A date in one of the forms of `ACCEPTED`.
        now: The current time; None to ask the clock.

    Raises:
        QueryError: This is not a date.
    """
    return _moment(text, now, end=False)


def until(text: str, *, now: datetime | None = None) -> Moment:
    """Return the first moment after the year, month, day or minute that a text names.

    Args:
        text: A date in one of the forms of `ACCEPTED`.
        now: The current time; None to ask the clock.

    Raises:
        QueryError: This is not a date.
    """
    return _moment(text, now, end=True)


def day_of_year(text: str, *, now: datetime | None = None) -> tuple[int, int]:
    """Return the month and the day that a text names, as `07-14` or `today`.

    Raises:
        QueryError: This is no day.
    """
    if text.strip().lower() == "today":
        today = now or datetime.now()
        return today.month, today.day
    match = DAY.fullmatch(text.strip())
    try:
        day = datetime(LEAP_YEAR, int(match[1]), int(match[2])) if match else None
    except ValueError:
        day = None
    if day is None:
        raise QueryError(f"{text!r} is not a date of every year: use 07-14 or today")
    return day.month, day.day


def _moment(text: str, now: datetime | None, *, end: bool) -> Moment:
    try:
        first, behind, zone = _span(str(text).strip(), now or datetime.now())
        return _resolved(behind if end else first, zone)
    except ValueError as exc:
        raise QueryError(f"{text!r} is not a date: use {ACCEPTED}") from exc


def _span(text: str, now: datetime) -> tuple[datetime, datetime, timezone | None]:
    """Return (first moment, first moment after, zone), both on that zone's wall clock.

    Python's dates go from the year 1 to 9999, and moments beyond are taken for the ends of that.
    """
    today = datetime(now.year, now.month, now.day)
    day = timedelta(days=1)
    if text.lower() in ("today", "yesterday"):
        first = today if text.lower() == "today" else today - day
        return first, first + day, None
    ago = AGO.fullmatch(text)
    if ago is not None:
        first = _earlier(today, int(ago[1]), ago[2].lower())
        return first, _later(first, day), None
    written = WRITTEN.fullmatch(text)
    if written is None:
        raise ValueError(text)
    *numbers, zone = written.groups()
    given = [int(number) for number in numbers if number is not None]
    year, month, *rest = [*given, 1][: max(2, len(given))]
    first = datetime(year, month, *(rest or [1]))  # type: ignore[arg-type]
    if len(given) == 1:
        behind = datetime(year + 1, 1, 1) if year < MAXYEAR else datetime.max
    elif len(given) == 2:
        behind = _month_later(first)
    else:
        steps = {3: day, 5: timedelta(minutes=1), 6: timedelta(seconds=1)}
        behind = _later(first, steps[len(given)])
    return first, behind, _zone(zone) if zone else None


def _earlier(today: datetime, count: int, unit: str) -> datetime:
    if unit in "dw":
        days = count * (7 if unit == "w" else 1)
        return datetime.min if days >= today.toordinal() else today - timedelta(days=days)
    months = 12 * today.year + today.month - 1 - count * (12 if unit == "y" else 1)
    if months < 12 * MINYEAR:
        return datetime.min
    first = datetime(months // 12, months % 12 + 1, 1)
    last = (_month_later(first) - timedelta(days=1)).day
    # A month before 31 March is the last day of February.
    return first.replace(day=min(today.day, last))


def _later(moment: datetime, step: timedelta) -> datetime:
    return moment + step if datetime.max - moment > step else datetime.max


def _month_later(first: datetime) -> datetime:
    if (first.year, first.month) == (MAXYEAR, 12):
        return datetime.max
    return datetime(first.year + first.month // 12, first.month % 12 + 1, 1)


def _zone(text: str) -> timezone:
    if text.upper() == "Z":
        return timezone(timedelta(0))
    hours, minutes = int(text[1:3]), int(text[-2:])
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


def _resolved(moment: datetime, zone: timezone | None) -> Moment:
    wall = _seconds(moment)
    try:
        if zone is None:
            return Moment(wall, int(moment.timestamp()), False)
        aware = moment.replace(tzinfo=zone)
        instant = _seconds(aware.astimezone(UTC).replace(tzinfo=None))
        # A file that does not say its zone is assumed to have this machine's.
        return Moment(_seconds(aware.astimezone().replace(tzinfo=None)), instant, True)
    except (ValueError, OverflowError, OSError):
        # So early or late that a clock of another zone leaves Python's dates, or the system's.
        return Moment(wall, wall, zone is not None)


def _seconds(wall: datetime) -> int:
    return (wall - EPOCH) // timedelta(seconds=1)
