"""Labels saved in a collection: its user's own, and those that a head gave.

A user's own label is certain; a head's has the probability that it had when it was saved.
"""

from collections.abc import Iterable
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.arguments import several
from indexer.store.paths import existing
from indexer.store.protocol import StoreReader
from indexer.store.rows import SavedLabel
from indexer.store.tables.labels import head_origin
from search.filters.folders import scopes_of
from search.hits import LIKELY

from .heads import Head

if TYPE_CHECKING:
    from search.engine import Engine


def labels_by_head(engine: "Engine", head: Head) -> list[SavedLabel]:
    """Return each image's best class, to be saved in the collection.

    An image gets no label if no class fits with a probability above one half. The probability of a
    label is that of the class, times that of any class fitting.
    """
    origin = head_origin(head.name)
    found = []
    for ids, vectors in engine.catalog.embeddings(engine.model.fingerprint):
        for number, (labels, none) in zip(ids.tolist(), head.best(vectors, 1), strict=True):
            label, probability, _ = labels[0]
            if none is None or none <= LIKELY:
                found.append(SavedLabel(number, label, probability * (1 - (none or 0.0)), origin))
    return found


def labels_by_path(catalog: StoreReader, *, minimum: float = 0.0) -> dict[bytes, list[SavedLabel]]:
    """Return each file's labels by absolute path; of a label given twice, the likelier one.

    Files that are not there are left out where a copy of them is.

    Args:
        catalog: The collection's catalog.
        minimum: Leave out labels of a lower probability.
    """
    best: dict[int, dict[str, SavedLabel]] = {}
    for one in catalog.saved_labels(minimum=minimum):
        best.setdefault(one.content, {}).setdefault(one.label, one)
    contents = catalog.contents(sorted(best))
    found = []
    for number, own in best.items():
        paths = contents[number].paths
        found += [(paths[at], own) for at in existing(paths)]
    return {path: list(own.values()) for path, own in sorted(found, key=itemgetter(0))}


def contents_at(catalog: StoreReader, paths: Iterable[Path | str]) -> list[int]:
    """Return the contents of files and whole folders, on drives or at URLs.

    Raises:
        QueryError: Nothing was indexed at one of the paths.
    """
    found: dict[int, None] = {}
    for path in several(paths):
        for scope in scopes_of(catalog, path):
            found.update(dict.fromkeys(catalog.contents_in(scope)))
    return list(found)
