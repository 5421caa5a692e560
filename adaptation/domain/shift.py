"""Two domains as arrays, and what a method makes of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from adaptation.task import Fitted, Task
from indexer.encoder import Embeddings


@dataclass(frozen=True)
class Shift:
    """Labelled vectors of a source, and vectors of a target whose labels are wanted.

    Attributes:
        source: The labelled examples of the source, with the zero-shot weights of the classes.
        target: `(m, dim)`, of unit length: what is known of the target without labels.
        labelled: Labelled examples of the target, of the same classes (some may have none); None
            where there are no labels.
    """

    source: Task
    target: Embeddings
    labelled: Task | None = None

    def pooled(self) -> Task:
        """Return all labelled examples, those of the target so often that both count the same."""
        if self.labelled is None or not len(self.labelled.targets):
            return self.source
        ours, theirs = self.source, self.labelled
        first, second = len(ours.targets), len(theirs.targets)
        repeated = np.tile(np.arange(second), max(1, round(first / second)))
        numbers = np.arange(first) if ours.copies is None else ours.copies
        places = numbers if ours.scenes is None else ours.scenes
        return replace(
            ours,
            vectors=np.concatenate([ours.vectors, theirs.vectors[repeated]]),
            targets=np.concatenate([ours.targets, theirs.targets[repeated]]),
            # An example and its repetitions stay on one side of a split.
            copies=np.concatenate([numbers, first + repeated]),
            scenes=np.concatenate([places, first + repeated]),
        )


@dataclass(frozen=True)
class Extractor:
    """A feature extractor of one layer.

    Attributes:
        weights: `(hidden, dim)`.
        bias: `(hidden,)`.
    """

    weights: Embeddings
    bias: Embeddings

    def features(self, vectors: Embeddings) -> Embeddings:
        """Return max(W x + b, 0), `(n, hidden)`, for vectors x `(n, dim)`."""
        found: Embeddings = np.maximum(vectors @ self.weights.T + self.bias, 0)
        return found


@dataclass(frozen=True)
class Aligned:
    """What a method made of a shift.

    Attributes:
        fitted: The head.
        extractor: What makes the features that the classes are read from; None where they are read
            from the vectors themselves.
        metrics: What happened on the way, by name, such as the share of images that got a label.
    """

    fitted: Fitted
    extractor: Extractor | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)

    def features(self, vectors: Embeddings) -> Embeddings:
        """Return the features `(n, hidden)` of vectors `(n, dim)`."""
        return vectors if self.extractor is None else self.extractor.features(vectors)


class Aligner(Protocol):
    """A way across a domain gap: a frozen dataclass whose fields are its hyperparameters.

    A field that is None is chosen without labels of the target; `candidates` returns what to try.

    Attributes:
        aligns: Whether it moves the features of both domains together, and so may be chosen by how
            far apart they still are.
    """

    name: ClassVar[str]
    needs_torch: ClassVar[bool]
    aligns: ClassVar[bool]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def candidates(self) -> Sequence[Self]:
        """Return the settings to try, the most cautious first."""

    def fit(self, shift: Shift, seed: int) -> Aligned:
        """Train a head; the same arrays and seed give the same one."""
