"""What may be meant by what somebody has begun to type; see `search.query_text`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from indexer.store.paths import display, found_in, words_of
from indexer.store.protocol import StoreReader
from indexer.store.records import SEPARATOR

from .query_text import FIELDS

# Nothing is suggested for shorter beginnings of words.
MIN_BEGINNING = 2
# The conditions that are suggested: each field's first name.
KEYS = tuple({field: key for key, field in reversed(FIELDS.items())}.values())
END = re.compile(
    rf"(?<!\S)(?P<minus>-?)(?:(?P<key>{'|'.join(FIELDS)}):)?(?P<begun>\"[^\"]*|\S*)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Suggestion:
    """A way to go on.

    Attributes:
        text: The whole text with it.
        shown: What is added, for people.
        key: The condition that it is: "in", "tag", "camera"; or the beginning of one.
        images: How many images it stands for; None where that is not known.
    """

    text: str
    shown: str
    key: str
    images: int | None = None


@dataclass(frozen=True)
class Vocabulary:
    """What a collection has names for, each with its number of images, most of them first.

    Attributes:
        values: By the condition that names it.
    """

    values: dict[str, Sequence[tuple[str, int | None]]]

    @classmethod
    def of(cls, catalog: StoreReader) -> Self:
        """Read it from a catalog."""
        folders: dict[str, int] = {}
        for path, count in catalog.folders():
            name = display(path.rpartition(SEPARATOR)[2])
            folders[name] = folders.get(name, 0) + count
        by_count = sorted(folders.items(), key=lambda one: (-one[1], one[0]))
        tags = sorted(catalog.own_label_counts(), key=lambda one: (-one[1], one[0]))
        cameras: list[tuple[str, int | None]] = [(name, None) for _, name in catalog.cameras()]
        return cls({"in": by_count, "tag": tags, "camera": cameras})

    def suggest(self, text: str, count: int) -> list[Suggestion]:
        """Return up to `count` ways to go on from the end of a text."""
        end = END.search(text)
        if end is None:
            return []
        before, begun = text[: end.start()] + end["minus"], end["begun"].lstrip('"')
        if end["key"]:
            field = FIELDS[end["key"].lower()]
            keys = [key for key in self.values if FIELDS[key] == field]
        elif len(begun) < MIN_BEGINNING:
            return []
        else:
            keys = list(self.values)
        found = [
            Suggestion(f"{before}{key}:", f"{key}:", key)
            for key in KEYS
            if not end["key"] and key.startswith(begun.lower())
        ]
        for key in keys:
            for value, images in self.values[key]:
                if len(found) >= count:
                    return found
                if begun.strip() and not found_in(begun, value):
                    continue
                if end["key"] and value == begun:  # it stands there already
                    continue
                found.append(Suggestion(f"{before}{key}:{_quoted(value)} ", value, key, images))
        return found[:count]


def _quoted(value: str) -> str:
    plain = value.replace('"', "")
    return f'"{plain}"' if words_of(plain) and not plain.isalnum() else plain
