"""What users give: one thing or several, and text in any encoding.

A text is a sequence of its characters and bytes are one of integers, so that either, given where
several are expected, would be taken apart without a word.
"""

import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# Control characters, lone surrogates, separators of lines and paragraphs: XML cannot represent
# most of them, and none belongs in a single line.
_REFUSED = frozenset({"Cc", "Cs", "Zl", "Zp"})
_NO_CHARACTERS = frozenset({"\ufffe", "\uffff"})


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


def valid_text(text: str) -> str:
    """Return a text that can be encoded.

    Where Python could not decode an argument of the command, its bytes may be UTF-8 all the same;
    those that are not become U+FFFD.
    """
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        data = text.encode("utf-8", "surrogatepass")
    return data.decode("utf-8", "replace")


def unwritable(text: str) -> str | None:
    """Return the first character of a text that no keyword may have; None if there is none."""
    for character in text:
        if unicodedata.category(character) in _REFUSED or character in _NO_CHARACTERS:
            return character
    return None
