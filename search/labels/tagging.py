"""Gives tags to images, takes them away, and counts them. Labels that heads gave are none."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from indexer.store.protocol import StoreReader, StoreWriter
from indexer.store.rows import SavedLabel
from indexer.store.tables.base import OWN
from search.tags import HIDDEN


@dataclass(frozen=True)
class TagChange:
    """What was changed of one image's tags; the reverse is what undoes it.

    Attributes:
        content: The image's id.
        added: Tags that it did not have before.
        removed: Tags that it had.
    """

    content: int
    added: tuple[str, ...]
    removed: tuple[str, ...]


def change_tags(
    catalog: StoreWriter,
    contents: Sequence[int],
    *,
    add: Collection[str] = (),
    remove: Collection[str] = (),
) -> list[TagChange]:
    """Add tags to images and take tags from them, within a transaction.

    Args:
        catalog: The collection, open for writing.
        contents: Ids of images.
        add: Tags as `checked_tag` returns them.
        remove: Tags, none of which is in `add`.

    Returns:
        One entry for each image that was changed, in the order of the ids.
    """
    had: dict[int, set[str]] = {number: set() for number in contents}
    for number, label in catalog.own_labels(list(had)):
        had[number].add(label)
    changes = [
        TagChange(
            number,
            tuple(tag for tag in dict.fromkeys(add) if tag not in tags),
            tuple(tag for tag in dict.fromkeys(remove) if tag in tags),
        )
        for number, tags in had.items()
    ]
    catalog.save_labels(
        SavedLabel(one.content, tag, 1.0, OWN) for one in changes for tag in one.added
    )
    catalog.remove_tags((tag, one.content) for one in changes for tag in one.removed)
    return [one for one in changes if one.added or one.removed]


def tags_of(catalog: StoreReader, content: int) -> list[str]:
    """Return the tags of an image, sorted."""
    return [label for _, label in catalog.own_labels([content])]


def count_tags(catalog: StoreReader) -> list[tuple[str, int]]:
    """Return (tag, images that a search for it chooses from), by tag."""
    counts = dict(catalog.own_label_counts())
    if HIDDEN in counts:
        for _, label in catalog.own_labels(catalog.contents_with_own_label(HIDDEN).tolist()):
            counts[label] -= label != HIDDEN
    return [(label, count) for label, count in counts.items() if count]


def starting_with(tags: Iterable[tuple[str, int]], prefix: str) -> list[tuple[str, int]]:
    """Return the tags, with their counts, that begin with a prefix, in any case."""
    wanted = prefix.casefold()
    return [(tag, count) for tag, count in tags if tag.casefold().startswith(wanted)]
