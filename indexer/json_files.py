"""JSON that someone else may have written or changed: any bytes give a value or a `ValueError`.

A file is read once, at the border, by one function that knows what it holds; `Fields` hands out its
entries by their types. Written by hand, since pydantic takes 90 ms to import, a quarter of a
search.
"""

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from .text_files import read_bytes

MAX_MEGABYTES = 16
MAX_DEPTH = 64
MAX_TEXT = 100_000

T = TypeVar("T")
Missing = type("Missing", (), {})
MISSING: Final[Any] = Missing()


def read_json(file: Path, *, megabytes: int = MAX_MEGABYTES) -> Any:
    """Return the value in a JSON file.

    Raises:
        OSError: It cannot be read, or is no regular file or too large.
        ValueError: It is not JSON, holds a number that is none, or is nested too deeply.
    """
    return parse_json(read_bytes(file, megabytes=megabytes, pipes=False))


def parse_json(data: bytes | str) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: It is not JSON, holds a number that is none, or is nested too deeply.
    """
    try:
        value = json.loads(data, parse_constant=_refuse)
    except RecursionError as exc:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep") from exc
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        for one in level:
            if isinstance(one, float) and not math.isfinite(one):
                _refuse(str(one))
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return value
    raise ValueError(f"it is nested more than {MAX_DEPTH} deep")


class Fields:
    """The entries of a JSON object, each handed out as what it has to be.

    Every method takes the entry's key and, for one that may be missing, a default, and raises a
    `ValueError` that names the entry if it is something else.
    """

    def __init__(self, value: object, what: str = "it") -> None:
        """Take an object.

        Args:
            value: What has to be one.
            what: What to call it in messages.

        Raises:
            ValueError: It is not an object.
        """
        if not isinstance(value, dict):
            raise ValueError(f"{what} is not an object")
        self.values: dict[str, Any] = value
        self._asked: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def text(
        self,
        key: str,
        default: T = MISSING,
        *,
        among: Collection[str] | None = None,
        pattern: re.Pattern[str] | None = None,
    ) -> str | T:
        """Return a text, one of `among` or one that `pattern` matches as a whole."""
        value = self._value(key, default)
        if value is default:
            return default
        if not isinstance(value, str) or len(value) > MAX_TEXT:
            raise ValueError(f"{key!r} is not a text")
        if among is not None and value not in among:
            raise ValueError(f"{key!r} is {value[:40]!r}, not one of {', '.join(among)}")
        if pattern is not None and not pattern.fullmatch(value):
            raise ValueError(f"{key!r} is {value[:40]!r}, which it cannot be")
        return value

    def integer(self, key: str, low: int, high: int, default: T = MISSING) -> int | T:
        """Return a whole number from `low` to `high`."""
        value = self._value(key, default)
        if value is default:
            return default
        return _integer(key, value, low, high)

    def number(self, key: str, default: T = MISSING, *, positive: bool = False) -> float | T:
        """Return a finite number."""
        value = self._value(key, default)
        if value is default:
            return default
        number = _number(key, value)
        if positive and number <= 0:
            raise ValueError(f"{key!r} is {number}, not above 0")
        return number

    def flag(self, key: str, default: bool = MISSING) -> bool:
        """Return true or false."""
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise ValueError(f"{key!r} is neither true nor false")
        return value

    def numbers(self, key: str, count: int) -> tuple[float, ...]:
        """Return a list of `count` finite numbers."""
        return tuple(_number(key, one) for one in self._list(key, count))

    def integers(self, key: str, count: int, low: int, high: int) -> tuple[int, ...]:
        """Return a list of `count` whole numbers from `low` to `high`."""
        return tuple(_integer(key, one, low, high) for one in self._list(key, count))

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts."""
        values = self._list(key, None)
        if not all(isinstance(one, str) and len(one) <= MAX_TEXT for one in values):
            raise ValueError(f"{key!r} is not a list of texts")
        return tuple(values)

    def items(self, key: str) -> list[Any]:
        """Return a list of anything."""
        return self._list(key, None)

    def object(self, key: str, default: Mapping[str, Any] = MISSING) -> dict[str, Any]:
        """Return an object."""
        value = self._value(key, default)
        if not isinstance(value, dict):
            raise ValueError(f"{key!r} is not an object")
        return value

    def fields(self, key: str, default: Mapping[str, Any] = MISSING) -> "Fields":
        """Return an object's own entries."""
        return Fields(self.object(key, default), repr(key))

    def has(self, key: str) -> bool:
        """Return whether an entry is there, and not null."""
        return self.values.get(key) is not None

    def nothing_else(self, *known: str) -> None:
        """Raise ValueError if there are entries that were neither asked for nor are known."""
        if unknown := self.values.keys() - self._asked - set(known):
            raise ValueError(f"{min(unknown)[:40]!r} is not an entry that this clipdex knows")

    def _value(self, key: str, default: Any) -> Any:
        self._asked.add(key)
        value = self.values.get(key, default)
        if value is MISSING:
            raise ValueError(f"{key!r} is missing")
        return value

    def _list(self, key: str, count: int | None) -> list[Any]:
        value = self._value(key, MISSING)
        if not isinstance(value, list | tuple):
            raise ValueError(f"{key!r} is not a list")
        if count is not None and len(value) != count:
            raise ValueError(f"{key!r} has {len(value):,} entries, not {count}")
        return list(value)


def _integer(key: str, value: Any, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{key!r} is not a whole number from {low:,} to {high:,}")
    return value


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key!r} is not a number")
    try:
        number = float(value)
    except OverflowError as exc:
        raise ValueError(f"{key!r} is too large a number") from exc
    if not math.isfinite(number):
        raise ValueError(f"{key!r} is not a finite number")
    return number


def _refuse(constant: str) -> float:
    raise ValueError(f"it holds {constant}, which is not a number")
