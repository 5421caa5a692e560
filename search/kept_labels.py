"""Labels that a collection keeps: a user's own, and those that a head gave.

A user's own label is certain; a head's has the probability that it had when it was kept.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from indexer.catalogue import Catalogue
from indexer.collection import Collection
from indexer.database import translated
from indexer.errors import GroundTruthError
from indexer.lock import writer_lock
from indexer.packed import Ids

from .folders import scopes_of
from .ground_truth import GroundTruth, Known
from .heads import Head
from .hits import LIKELY

if TYPE_CHECKING:
    from .engine import Engine

OWN = "user"


def by_head(name: str) -> str:
    """The origin of a head's labels."""
    return f"head:{name}"


@dataclass(frozen=True)
class Kept:
    """content: an id. probability: 1 for a user's own. origin: "user", or "head:NAME"."""

    content: int
    label: str
    probability: float
    origin: str


@contextmanager
def writing(collection: Collection, purpose: str) -> Iterator[Catalogue]:
    """The catalogue in one transaction, by its only writer."""
    collection.require()
    with writer_lock(collection, purpose), translated(str(collection.folder)):
        catalogue = Catalogue.open(collection, writable=True)
        try:
            with catalogue.transaction():
                yield catalogue
        finally:
            catalogue.close()


def keep(catalogue: Catalogue, labels: Iterable[Kept]) -> int:
    """Add labels, in place of the same ones; returns how many there were to add."""
    rows = [(one.content, one.label, one.origin, one.probability) for one in labels]
    catalogue.connection.executemany("INSERT OR REPLACE INTO labels VALUES (?, ?, ?, ?)", rows)
    return len(rows)


def drop_origin(catalogue: Catalogue, origin: str) -> int:
    """Forget all labels of one origin; returns how many."""
    return catalogue.connection.execute("DELETE FROM labels WHERE origin = ?", (origin,)).rowcount


def keep_by_head(engine: "Engine", head: Head) -> int:
    """Keep each picture's best class, in place of what this head gave before; returns how many.

    A picture that none of the classes fits, by more than one half, gets none. The probability is
    that of the class, times that of any fitting.
    """
    origin = by_head(head.name)
    found = []
    for ids, vectors in engine.catalogue.embeddings(engine.model.fingerprint):
        for number, (labels, none) in zip(ids.tolist(), head.best(vectors, 1), strict=True):
            label, probability = labels[0]
            if none is None or none <= LIKELY:
                found.append(Kept(number, label, probability * (1 - (none or 0.0)), origin))
    with writing(engine.collection, "label") as catalogue:
        drop_origin(catalogue, origin)
        return keep(catalogue, found)


def drop(catalogue: Catalogue, label: str, contents: Iterable[int] | None = None) -> int:
    """Forget a label, whoever gave it: of these contents, or of all; returns how many."""
    if contents is None:
        return catalogue.connection.execute("DELETE FROM labels WHERE label = ?", (label,)).rowcount
    rows = [(label, number) for number in contents]
    return catalogue.connection.executemany(
        "DELETE FROM labels WHERE label = ? AND content = ?", rows
    ).rowcount


def kept(catalogue: Catalogue, *, least: float = 0.0) -> list[Kept]:
    """All labels of pictures that have a file, by picture, likeliest first."""
    rows = catalogue.connection.execute(
        "SELECT content, label, probability, origin FROM labels JOIN contents ON "
        "contents.id = content WHERE paths > 0 AND probability >= ? "
        "ORDER BY content, probability DESC, label, origin",
        (least,),
    )
    return [Kept(*row) for row in rows]


def kept_by_path(catalogue: Catalogue, *, least: float = 0.0) -> dict[bytes, list[Kept]]:
    """Each label once a file, by absolute path; of a label given twice the likelier one."""
    best: dict[int, dict[str, Kept]] = {}
    for one in kept(catalogue, least=least):
        best.setdefault(one.content, {}).setdefault(one.label, one)
    contents = catalogue.contents(sorted(best))
    found = [(path, own) for number, own in best.items() for path in contents[number].paths]
    return {path: list(own.values()) for path, own in sorted(found)}


def own_labels(collection: Collection) -> GroundTruth:
    """The user's own labels by file, to learn from. Raises GroundTruthError without any."""
    catalogue = Catalogue.open(collection)
    try:
        with translated(str(collection.folder)):
            truth = {
                path: Known([one.label for one in labels if one.origin == OWN])
                for path, labels in kept_by_path(catalogue, least=1.0).items()
            }
    finally:
        catalogue.close()
    if not truth:
        raise GroundTruthError(
            "there is nothing to learn from: name DATA, or label pictures with `clipdex tags add`"
        )
    return truth


def counts(catalogue: Catalogue) -> list[tuple[str, str, int]]:
    """(label, origin, pictures), by label."""
    return catalogue.connection.execute(
        "SELECT label, origin, count(*) FROM labels JOIN contents ON contents.id = content "
        "WHERE paths > 0 GROUP BY label, origin ORDER BY label, origin"
    ).fetchall()


def with_label(catalogue: Catalogue, label: str, probability: float) -> Ids:
    """The contents `(n,)`, rising, that keep a label with more than this probability."""
    rows = catalogue.connection.execute(
        "SELECT DISTINCT content FROM labels WHERE label = ? AND probability > ? ORDER BY content",
        (label, probability),
    )
    return np.array([row[0] for row in rows], dtype=np.int64)


def contents_at(catalogue: Catalogue, paths: Iterable[Path]) -> list[int]:
    """The contents of files and whole folders. Raises QueryError for a path that nothing was
    indexed at.
    """
    found: dict[int, None] = {}
    for path in paths:
        for scope in scopes_of(catalogue, path):
            condition, values = scope.condition
            rows = catalogue.connection.execute(
                f"SELECT content FROM files WHERE content IS NOT NULL AND {condition}", values
            )
            found.update(dict.fromkeys(row[0] for row in rows))
    return list(found)
