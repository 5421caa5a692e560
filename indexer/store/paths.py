"""Paths as text: for people, in JSON, and to be compared."""

import base64
import os
import re
from collections.abc import Sequence

# An absolute path begins otherwise, on any system.
URL = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]+://")
# Letters and digits; what stands between them in names of files (_ among it) separates.
WORD = re.compile(r"[^\W_]+")


def is_url(path: bytes) -> bool:
    """Return whether a path is the URL of something that is not a folder of this machine."""
    return URL.match(path) is not None


def is_remote(path: os.PathLike[str] | str) -> bool:
    """Return whether a user has named a URL."""
    return is_url(os.fsencode(path))


def is_absolute(path: bytes) -> bool:
    """Return whether a path means the same from whatever folder: an absolute one, or a URL."""
    return os.path.isabs(path) or is_url(path)


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

    A single path is not asked for: there is no other to show. Nor is a URL, which is taken to be
    there: a search contacts nobody.
    """
    if len(paths) > 1:
        there = [at for at, path in enumerate(paths) if is_url(path) or os.path.exists(path)]
        if there:
            return there
    return list(range(len(paths)))


def words_of(text: str) -> list[str]:
    """Return the words in a text, in lower case and without accents, as SQLite's FTS5 has them."""
    import unicodedata

    plain = (
        character
        for character in unicodedata.normalize("NFKD", text)
        if not unicodedata.combining(character)
    )
    return WORD.findall("".join(plain).lower())


def found_in(text: str, name: str, *, whole: bool = False) -> bool:
    """Return whether the words of a text follow each other in a name.

    Args:
        text: The words to find.
        name: Where to look for them.
        whole: Whether the last one has to be a whole word, and not the beginning of one.
    """
    wanted, words = words_of(text), words_of(name)
    for start in range(len(words) - len(wanted) + 1) if wanted else ():
        *before, last = words[start : start + len(wanted)]
        fits = last == wanted[-1] if whole else last.startswith(wanted[-1])
        if fits and before == wanted[:-1]:
            return True
    return False
