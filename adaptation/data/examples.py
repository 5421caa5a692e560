"""Labelled images as a method sees them: one vector and one class each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adaptation.task import Targets
from indexer.encoder import Embeddings, Encoder
from indexer.errors import ExamplesError
from indexer.images.decode import Limits
from indexer.store.lookup import Lookup
from search.evaluation.dataset import GroundTruth
from search.evaluation.evaluate import annotate


@dataclass(frozen=True)
class Examples:
    """vectors: `(n, dim)`. targets: `(n,)`, numbers of `classes`. paths, digests: of each one.

    conflicts: images that were given several classes, which are left out. skipped: (path,
    reason) of files that could not be read.
    """

    vectors: Embeddings
    targets: Targets
    classes: tuple[str, ...]
    paths: tuple[bytes, ...]
    digests: tuple[bytes, ...]
    conflicts: tuple[tuple[bytes, tuple[str, ...]], ...] = ()
    skipped: tuple[tuple[bytes, str], ...] = ()

    def counts(self) -> dict[str, int]:
        """How many examples each class has."""
        found = np.bincount(self.targets, minlength=len(self.classes)).tolist()
        return dict(zip(self.classes, found, strict=True))


def read_examples(
    truth: GroundTruth,
    encoder: Encoder,
    *,
    classes: Sequence[str] | None = None,
    stored: Lookup | None = None,
    workers: int | None = None,
    limits: Limits | None = None,
) -> Examples:
    """The labelled images of `truth`: vectors from the collection where it has them.

    classes: the only ones there may be, in their order; those that occur, sorted, otherwise.
    Raises ExamplesError for captions without labels, fewer than two classes, or a foreign one.
    """
    data = annotate(truth, encoder, stored=stored, workers=workers, limits=limits)
    rows = [row for row, labels in enumerate(data.labels) if len(labels) == 1]
    conflicts = tuple(
        (data.paths[row], tuple(labels))
        for row, labels in enumerate(data.labels)
        if len(labels) > 1
    )
    found = {data.labels[row][0] for row in rows}
    if classes is None:
        classes = sorted(found)
        if len(classes) < 2:
            raise ExamplesError(
                f"{len(classes)} class has images with one label: a head tells at least two "
                "apart. For one thing only, see `clipdex adapt concept --help`"
            )
    if foreign := sorted(found - set(classes)):
        raise ExamplesError(f"the class {foreign[0]!r} is not one that was learnt")
    numbers = {name: number for number, name in enumerate(classes)}
    return Examples(
        data.vectors[rows],
        np.array([numbers[data.labels[row][0]] for row in rows], np.int64),
        tuple(classes),
        tuple(data.paths[row] for row in rows),
        tuple(data.digests[row] for row in rows),
        conflicts,
        tuple(data.skipped),
    )
