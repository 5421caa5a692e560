r"""How a tag is written in each of XMP's three lists of keywords.

A label may contain the separators of the hierarchical forms. `dc:subject` keeps them; `|` becomes
`/` in `lr:hierarchicalSubject`, and both become `\` in `digiKam:TagsList`, so that no level is
split.
"""

import unicodedata
from collections.abc import Iterable

from indexer.arguments import unwritable
from indexer.errors import TagError

Tag = tuple[str, ...]
"""The levels of a keyword from the top, ("Animals", "Dog"); most tags have one."""


def checked(tags: Iterable[Tag]) -> list[Tag]:
    """Return the different tags, with white space around their levels removed.

    Raises:
        TagError: A tag has no levels, an empty level, or a character that XML cannot represent.
    """
    return list(dict.fromkeys(_checked(tag) for tag in tags))


def same(text: str) -> str:
    """Return a key that equal keywords share, whether their accents are composed or not."""
    return unicodedata.normalize("NFC", text.strip())


def leaf(tag: Tag) -> str:
    """Return the last level: Dog."""
    return tag[-1]


def lightroom(tag: Tag) -> str:
    """Return the levels as Lightroom writes them: Animals|Dog."""
    return "|".join(level.replace("|", "/") for level in tag)


def digikam(tag: Tag) -> str:
    """Return the levels as digiKam writes them: Animals/Dog."""
    return "/".join(level.replace("|", "\\").replace("/", "\\") for level in tag)


def _checked(tag: Tag | str) -> Tag:
    # A string is a sequence of strings, too, and would become a tag of its letters.
    levels = () if isinstance(tag, str) else tuple(level.strip() for level in tag)
    if not all(levels) or not levels:
        raise TagError(f"{tag!r} is not a tag: it needs at least one level, and none may be empty")
    character = unwritable("".join(levels))
    if character is not None:
        raise TagError(
            f"{'/'.join(levels)!r} contains the character U+{ord(character):04X}, which a sidecar "
            "cannot. Remove it from the label"
        )
    return levels
