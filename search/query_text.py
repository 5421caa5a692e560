"""What people type into one box: words, and conditions as in the search of a mail program.

    two dogs in:Italy camera:"canon eos" after:2023 before:2024-07 -people -tag:private

Imports nothing large: every search from the command line passes through here.
"""

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a text without conditions does not load it
    from search.filters.filter import Filter

# The fields of a filter that the words before a colon stand for.
FIELDS = {
    "name": "names",
    "in": "below",
    "folder": "below",
    "tag": "tags",
    "camera": "cameras",
    "lens": "cameras",
    "before": "before",
    "after": "since",
    "on": "on",
}
PART = re.compile(
    r"(?<!\S)(?P<minus>-)?"
    rf"(?:(?P<key>{'|'.join(FIELDS)}):(?P<value>\"[^\"]*\"|\S*)|(?P<word>\"[^\"]*\"|\S+))",
    re.IGNORECASE,
)

Condition = tuple[str, str]
"""(field of a filter, value)."""


@dataclass(frozen=True)
class QueryText:
    """A text taken apart.

    Attributes:
        text: What the image shows: the words that are nothing else.
        without: What to steer away from: the words after a minus sign.
        conditions: What an image has to meet.
        unless: What it must not meet.
    """

    text: str
    without: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    unless: tuple[Condition, ...] = ()

    def narrow(self, given: "Filter | None") -> "Filter | None":
        """Return a filter that passes what `given` passes and the text allows.

        Raises:
            QueryError: A date or a tag makes no sense.
        """
        if not self.conditions and not self.unless:
            return given
        from search.filters.filter import Filter

        chosen = given or Filter()
        for field, value in self.conditions:
            if field in ("since", "before"):
                chosen = chosen.within(**{field: value})
            elif field == "on":
                chosen = replace(chosen, on=value)
            else:
                chosen = replace(chosen, **{field: (*getattr(chosen, field), value)})  # type: ignore[arg-type]
        left_out = [
            Filter(**{field: value})  # type: ignore[arg-type]
            for field, value in self.unless
        ]
        return replace(chosen, unless=(*chosen.unless, *left_out))


def parse(text: str) -> QueryText:
    """Take a text apart.

    `name:`, `in:` (or `folder:`), `tag:`, `camera:` (or `lens:`), `before:`, `after:` and `on:`
    are conditions, with quotation marks around a value that has spaces; a minus sign before one
    turns it round, and before a word steers away from it. Whatever else has a colon is a word as
    any other; a condition without a value, which somebody may still be typing, is left out.
    """
    words: list[str] = []
    without: list[str] = []
    conditions: list[Condition] = []
    unless: list[Condition] = []
    for part in PART.finditer(text):
        if part["key"]:
            value = part["value"].strip('" ')
            if value:
                chosen = unless if part["minus"] else conditions
                chosen.append((FIELDS[part["key"].lower()], value))
            continue
        word = part["word"].strip('"')
        if part["minus"] and any(map(str.isalnum, word)):
            without.append(word)
        else:
            words.append((part["minus"] or "") + word)
    return QueryText(" ".join(words), tuple(without), tuple(conditions), tuple(unless))
