"""Labels that a collection keeps: a user's own, and those that a head gave.

A user's own label is certain; a head's has the probability that it had when it was kept.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.errors import GroundTruthError
from indexer.store.catalog import Catalog
from indexer.store.collection import Collection
from indexer.store.database import translated
from indexer.store.labels import OWN, Kept, by_head, drop_origin, keep, kept_by_path
from indexer.store.lock import writer_lock
from search.evaluation.dataset import GroundTruth, Known
from search.filters.folders import scopes_of
from search.hits import LIKELY

from .heads import Head

if TYPE_CHECKING:
    from search.engine import Engine


@contextmanager
def writing(collection: Collection, purpose: str) -> Iterator[Catalog]:
    """The catalog in one transaction, by its only writer."""
    collection.require()
    with writer_lock(collection, purpose), translated(str(collection.folder)):
        catalog = Catalog.open(collection, writable=True)
        try:
            with catalog.transaction():
                yield catalog
        finally:
            catalog.close()


def keep_by_head(engine: "Engine", head: Head) -> int:
    """Keep each image's best class, in place of what this head gave before; returns how many.

    An image that none of the classes fits, by more than one half, gets none. The probability is
    that of the class, times that of any fitting.
    """
    origin = by_head(head.name)
    found = []
    for ids, vectors in engine.catalog.embeddings(engine.model.fingerprint):
        for number, (labels, none) in zip(ids.tolist(), head.best(vectors, 1), strict=True):
            label, probability = labels[0]
            if none is None or none <= LIKELY:
                found.append(Kept(number, label, probability * (1 - (none or 0.0)), origin))
    with writing(engine.collection, "label") as catalog:
        drop_origin(catalog, origin)
        return keep(catalog, found)


def own_labels(collection: Collection) -> GroundTruth:
    """The user's own labels by file, to learn from. Raises GroundTruthError without any."""
    catalog = Catalog.open(collection)
    try:
        with translated(str(collection.folder)):
            truth = {
                path: Known([one.label for one in labels if one.origin == OWN])
                for path, labels in kept_by_path(catalog, least=1.0).items()
            }
    finally:
        catalog.close()
    if not truth:
        raise GroundTruthError(
            "there is nothing to learn from: name DATA, or label images with `clipdex tags add`"
        )
    return truth


def contents_at(catalog: Catalog, paths: Iterable[Path]) -> list[int]:
    """The contents of files and whole folders. Raises QueryError for a path that nothing was
    indexed at.
    """
    found: dict[int, None] = {}
    for path in paths:
        for scope in scopes_of(catalog, path):
            condition, values = scope.condition
            rows = catalog.connection.execute(
                f"SELECT content FROM files WHERE content IS NOT NULL AND {condition}", values
            )
            found.update(dict.fromkeys(row[0] for row in rows))
    return list(found)
