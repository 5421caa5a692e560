"""How a tag is spelled in each of XMP's three places for keywords.

A label may hold the characters that the hierarchical forms separate levels with. `dc:subject`
keeps them; `|` becomes `/` in `lr:hierarchicalSubject`, and both become `\\` in
`digiKam:TagsList`, so that no level falls apart into two.
"""

import unicodedata
from collections.abc import Iterable

from indexer.errors import TagError

Tag = tuple[str, ...]
"""A keyword's levels from the top, ("Animals", "Dog"); most tags have one."""

# Control characters, lone surrogates, separators of lines and paragraphs: XML cannot hold the
# most of them, and none belongs in one line.
_REFUSED = frozenset({"Cc", "Cs", "Zl", "Zp"})
_NO_CHARACTERS = frozenset({"\ufffe", "\uffff"})


def checked(tags: Iterable[Tag]) -> list[Tag]:
    """The tags, each once, their levels without the white space around them.

    Raises TagError for a tag without levels, an empty level, or a character that XML cannot hold.
    """
    return list(dict.fromkeys(_checked(tag) for tag in tags))


def same(text: str) -> str:
    """What two spellings of one keyword share: accents may be composed or not."""
    return unicodedata.normalize("NFC", text.strip())


def leaf(tag: Tag) -> str:
    """Dog"""
    return tag[-1]


def lightroom(tag: Tag) -> str:
    """Animals|Dog"""
    return "|".join(level.replace("|", "/") for level in tag)


def digikam(tag: Tag) -> str:
    """Animals/Dog"""
    return "/".join(level.replace("|", "\\").replace("/", "\\") for level in tag)


def _checked(tag: Tag | str) -> Tag:
    # A bare string is a sequence of strings too, and would become a tag of its letters.
    levels = () if isinstance(tag, str) else tuple(level.strip() for level in tag)
    if not all(levels) or not levels:
        raise TagError(f"{tag!r} is no tag: it takes one level or more, none of them empty")
    for character in "".join(levels):
        if unicodedata.category(character) in _REFUSED or character in _NO_CHARACTERS:
            raise TagError(
                f"{'/'.join(levels)!r} holds the character U+{ord(character):04X}, which a sidecar "
                "cannot. Take it out of the label"
            )
    return levels
