"""Paths as text: for people, in JSON, and to be compared."""

import base64
import os
from collections.abc import Sequence


def display(path: bytes) -> str:
    """Return a path as text for people; bytes that are not UTF-8 become U+FFFD."""
    return path.decode("utf-8", "replace")


def path_fields(path: bytes) -> dict[str, str]:
    """Return `path` for people, and `path_b64` with the bytes if they differ."""
    text = display(path)
    if text.encode() == path:
        return {"path": text}
    return {"path": text, "path_b64": base64.b64encode(path).decode("ascii")}


def comparable(path: bytes) -> str:
    """Return a path as text that is equal for equal names, however their accents are encoded.

    macOS takes letters with accents apart (NFD), keyboards type them whole (NFC).
    """
    if path.isascii():
        return path.decode("ascii")
    import unicodedata

    return unicodedata.normalize("NFC", path.decode("utf-8", "surrogateescape"))


def existing(paths: Sequence[bytes]) -> list[int]:
    """Return the places of the paths where a file is now; of all of them where there is none.

    A single path is not asked for: there is no other to show.
    """
    if len(paths) > 1:
        there = [at for at, path in enumerate(paths) if os.path.exists(path)]
        if there:
            return there
    return list(range(len(paths)))
