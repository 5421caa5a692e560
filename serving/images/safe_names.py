"""Names of files in an archive, which every system can unpack where its user wants them.

A name on Linux is any bytes, and unpacking programs trust what stands in archives: a name may try
to lead elsewhere, to be a device, or to look like another one.
"""

import os
import unicodedata

# What Windows gives a meaning to, and every system's separators.
SEPARATING = frozenset('<>:"/\\|?*')
# Controls, directions of writing, surrogates, what is not assigned, and ends of lines. Two joiners
# belong to words and emoji.
UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
JOINERS = frozenset("\u200c\u200d")
DEVICES = frozenset(
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"]
    + [f"{port}{number}" for port in ("COM", "LPT") for number in "0123456789¹²³"]
)
# File systems take 255 bytes; a number may follow.
MAX_STEM_BYTES, MAX_SUFFIX = 200, 16


def safe_name(path: bytes, suffix: str | None = None) -> str:
    """Return the name of a file without its folders, as any system can have it.

    Args:
        path: The file's path.
        suffix: What the name ends with in place of its own suffix, such as ".webp".
    """
    text = unicodedata.normalize("NFC", os.path.basename(path).decode("utf-8", "replace"))
    text = "".join(map(_safe, text)).strip(" .")
    stem, dot, ending = text.rpartition(".")
    if not dot or len(ending) > MAX_SUFFIX:
        stem, ending = text, ""
    stem = stem.encode()[:MAX_STEM_BYTES].decode("utf-8", "ignore").strip(" .") or "image"
    if stem.partition(".")[0].rstrip().upper() in DEVICES:
        stem = f"_{stem}"
    return stem + (suffix if suffix is not None else f".{ending}" if ending else "")


class Names:
    """Gives each file of an archive a name of its own; systems differ in what they take as equal.

    Args:
        taken: Names that no file may have.
    """

    def __init__(self, *taken: str) -> None:
        self._used = {_key(name): 2 for name in taken}

    def take(self, name: str) -> str:
        """Return a name, with a number behind its stem where another file has it already."""
        stem, dot, ending = name.rpartition(".")
        if not dot:
            stem, ending = name, ""
        key, chosen = _key(name), name
        while _key(chosen) in self._used:
            chosen = f"{stem} ({self._used[key]}){dot}{ending}"
            self._used[key] += 1
        self._used[_key(chosen)] = 2
        return chosen


def _safe(character: str) -> str:
    unseen = unicodedata.category(character) in UNSEEN and character not in JOINERS
    return "_" if unseen or character in SEPARATING else character


def _key(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()
