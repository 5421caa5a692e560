"""Labelled images as a method uses them: one vector and one class each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adaptation.task import Targets
from indexer.encoder import Embeddings, Encoder
from indexer.errors import ExamplesError
from indexer.images.decode import Limits
from indexer.store.lookup import Lookup
from search.evaluation.dataset import GroundTruth
from search.evaluation.evaluate import embed_dataset


@dataclass(frozen=True)
class Examples:
    """Images with one label each.

    Attributes:
        vectors: `(n, dim)`, of unit length.
        targets: `(n,)`, numbers of `classes`.
        classes: The names.
        paths: Of each image.
        digests: Of each image's bytes.
        conflicts: Images with several labels, which are left out, and their labels.
        skipped: (path, reason) of files that cannot be read.
    """

    vectors: Embeddings
    targets: Targets
    classes: tuple[str, ...]
    paths: tuple[bytes, ...]
    digests: tuple[bytes, ...]
    conflicts: tuple[tuple[bytes, tuple[str, ...]], ...] = ()
    skipped: tuple[tuple[bytes, str], ...] = ()

    def counts(self) -> dict[str, int]:
        """Return the number of examples of each class."""
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
    """Read the labelled images of a ground truth.

    Args:
        truth: Labels by path.
        encoder: Makes the vectors that `stored` does not have.
        classes: The allowed classes in their order; by default those that occur, sorted.
        stored: The collection's vectors.
        workers: How many images are decoded at a time.
        limits: The largest file and image that are read.

    Raises:
        ExamplesError: There are fewer than two classes, or one that is not allowed.
    """
    data = embed_dataset(truth, encoder, stored=stored, workers=workers, limits=limits)
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
                f"{len(classes)} class has images with one label, and a head needs at least two "
                "classes. For a single one, see `clipdex adapt concept --help`"
            )
    if foreign := sorted(found - set(classes)):
        raise ExamplesError(f"the class {foreign[0]!r} is not one of those that are learned")
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
