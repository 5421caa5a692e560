"""The input and output of a method that learns a head."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from indexer.encoder import Embeddings
from search.labels.artifact import Arrays
from search.labels.heads import KINDS, Floats

if TYPE_CHECKING:  # imports torch
    from adaptation.methods.prompts import TextTower

Targets = NDArray[np.int64]
"""`(n,)`, the number of each example's class."""

Rows = NDArray[np.int64]
"""`(m,)`, the numbers of some examples."""

Scenes = NDArray[np.int64]
"""`(n,)`, equal for examples that belong together, which a split keeps on one side."""


@dataclass(frozen=True)
class Task:
    """Examples of some classes as vectors of a frozen encoder. Each class has an example.

    Attributes:
        vectors: `(n, dim)`, of unit length.
        targets: `(n,)`, the classes.
        text: `(classes, dim)`, the zero-shot weights of the classes.
        logit_scale: The model's factor of cosines with `text`.
        names: Of the classes; may be missing.
        text_tower: Loads the model's text tower, for methods that learn through it; may be missing.
        copies: `(n,)`, equal for near-duplicates; None where each example is its own.
        scenes: `(n,)`, equal for examples of one scene, as `adaptation.data.scenes` finds them;
            None where only `copies` are known.
    """

    vectors: Embeddings
    targets: Targets
    text: Embeddings
    logit_scale: float
    names: tuple[str, ...] = ()
    text_tower: "Callable[[], TextTower] | None" = None
    copies: Scenes | None = None
    scenes: Scenes | None = None

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.text)

    def subset(self, rows: Rows) -> "Task":
        """Return the task with these examples only."""
        return replace(
            self,
            vectors=self.vectors[rows],
            targets=self.targets[rows],
            copies=None if self.copies is None else self.copies[rows],
            scenes=None if self.scenes is None else self.scenes[rows],
        )

    def zero_shot(self) -> "Fitted":
        """Return the head that the class names alone make."""
        weights = self.logit_scale * self.text
        return Fitted("linear", float32(weights=weights, bias=np.zeros(self.classes)))

    def one_hot(self) -> Embeddings:
        """Return `(n, classes)`, 1 where an example belongs to a class, else 0."""
        return np.eye(self.classes, dtype=np.float32)[self.targets]

    def means(self) -> Embeddings:
        """Return `(classes, dim)`, the mean vector of each class; zero for one without examples."""
        return (self.one_hot().T @ self.vectors) / np.maximum(
            np.bincount(self.targets, minlength=self.classes), 1
        ).astype(np.float32)[:, np.newaxis]


@dataclass(frozen=True)
class Fitted:
    """A trained head: its kind and arrays, as `search.labels.heads` evaluates them."""

    kind: str
    arrays: Arrays

    def logits(self, vectors: Embeddings) -> Floats:
        """Return the logits `(n, classes)` of vectors `(n, dim)`."""
        return KINDS[self.kind][0](vectors, self.arrays)

    def correct(self, task: Task) -> NDArray[np.bool_]:
        """Return `(n,)`, whether the class of a task's example has the highest logit."""
        right: NDArray[np.bool_] = self.logits(task.vectors).argmax(axis=1) == task.targets
        return right

    def accuracy(self, task: Task) -> float:
        """Return the share of a task's examples whose class has the highest logit."""
        return float(self.correct(task).mean())


class Method(Protocol):
    """A way to learn a head: a frozen dataclass whose fields are its hyperparameters.

    A field that is None is chosen on held-out examples. `candidates` returns the settings to try,
    and `refined` those near the best, round by round; none of them has a field that is None.
    """

    name: ClassVar[str]
    needs_torch: ClassVar[bool]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def candidates(self, task: Task) -> Sequence[Self]:
        """Return the settings to try for a task; a method without a None returns itself."""

    def refined(self, number: int) -> Sequence[Self]:
        """Return settings near this one for round `number`, from 1; nothing to end the search."""

    def fit(self, task: Task, seed: int) -> Fitted:
        """Train a head; the same examples and seed give the same head."""


def float32(**arrays: NDArray[Any] | float | int) -> Arrays:
    """Return arrays as heads store them: in single precision, a number as `(1,)`."""
    return {name: np.atleast_1d(np.asarray(a, dtype=np.float32)) for name, a in arrays.items()}
