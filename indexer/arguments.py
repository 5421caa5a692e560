"""Arguments of public functions that may be one thing or several.

A text is a sequence of its characters and bytes are one of integers, so that either, given where
several are expected, would be taken apart without a word.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any


def several(value: Any) -> tuple[Any, ...]:
    """Return the elements of `value`; a text, path, number or bytes is one element.

    Raises:
        TypeError: It is neither one of these nor a collection.
    """
    if isinstance(value, (str, bytes, Path, int)):
        return (value,)
    if isinstance(value, Iterable):
        return tuple(value)
    raise TypeError(f"expected one or several, such as a list, not {value!r}")
