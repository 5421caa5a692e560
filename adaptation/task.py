"""What a method learns from, and what it gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from indexer.encoder import Embeddings
from search.labels.artifact import Arrays
from search.labels.heads import KINDS, Floats

if TYPE_CHECKING:  # torch's home
    from adaptation.methods.prompts import TextTower

Targets = NDArray[np.int64]
"""`(n,)`: the number of each example's class."""

Rows = NDArray[np.int64]
"""`(m,)`: numbers of examples."""


@dataclass(frozen=True)
class Task:
    """Examples of some classes, as a frozen encoder sees them.

    vectors: `(n, dim)`. targets: `(n,)`. text: `(classes, dim)`, the classes' zero-shot weights.
    logit_scale: the model's own, for cosines with `text`. names: of the classes. text_tower: gives
    the model's, for methods that learn through it. Both may be missing.
    """

    vectors: Embeddings
    targets: Targets
    text: Embeddings
    logit_scale: float
    names: tuple[str, ...] = ()
    text_tower: "Callable[[], TextTower] | None" = None

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.text)

    def subset(self, rows: Rows) -> "Task":
        """The task with these examples only."""
        return replace(self, vectors=self.vectors[rows], targets=self.targets[rows])

    def one_hot(self) -> Embeddings:
        """`(n, classes)`: 1 where an example is of a class."""
        return np.eye(self.classes, dtype=np.float32)[self.targets]

    def means(self) -> Embeddings:
        """`(classes, dim)`: the mean of each class's vectors; zero for a class without any."""
        return (self.one_hot().T @ self.vectors) / np.maximum(
            np.bincount(self.targets, minlength=self.classes), 1
        ).astype(np.float32)[:, np.newaxis]


@dataclass(frozen=True)
class Fitted:
    """What `search.heads` evaluates: a kind and its arrays."""

    kind: str
    arrays: Arrays

    def logits(self, vectors: Embeddings) -> Floats:
        """`(n, dim)` to `(n, classes)`."""
        return KINDS[self.kind][0](vectors, self.arrays)

    def accuracy(self, task: Task) -> float:
        """The share of a task's examples whose class has the highest logit."""
        return float((self.logits(task.vectors).argmax(axis=1) == task.targets).mean())


class Method(Protocol):
    """A way to learn a head: a frozen dataclass whose fields are its hyperparameters.

    A field that is None is chosen on validation examples: `candidates` are the settings to try,
    none of them with a None, and `refined` those worth trying beside the best, round by round.
    """

    name: ClassVar[str]
    needs_torch: ClassVar[bool]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def candidates(self, task: Task) -> Sequence[Self]:
        """Settings to try for a task; a method without a None gives itself."""

    def refined(self, number: int) -> Sequence[Self]:
        """Settings around this one in round `number`, from 1; empty where there are no more."""

    def fit(self, task: Task, seed: int) -> Fitted:
        """Learn; the same examples and seed give the same head."""


def float32(**arrays: NDArray[Any] | float | int) -> Arrays:
    """Arrays as heads keep them, a number as `(1,)`."""
    return {name: np.atleast_1d(np.asarray(a, dtype=np.float32)) for name, a in arrays.items()}
