"""k nearest neighbours, weighted by similarity.

Source: Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination, CVPR
2018: each of the k nearest examples votes exp(cosine / temperature) for its class.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from adaptation.task import Fitted, Task, float32

COUNTS = (1, 3, 5, 10, 20)


@dataclass(frozen=True)
class NearestNeighbours:
    """A vote of the nearest examples.

    Attributes:
        k: How many vote; None to choose it.
        temperature: The smaller, the more the nearest ones count.
    """

    name: ClassVar[str] = "k-nn"
    needs_torch: ClassVar[bool] = False
    k: int | None = None
    temperature: float = 0.07

    def candidates(self, task: Task) -> Sequence[Self]:
        """Return counts up to four times the examples per class."""
        if self.k is not None:
            return [self]
        fitting = [k for k in COUNTS if k <= 4 * len(task.targets) // task.classes]
        return [replace(self, k=k) for k in fitting or COUNTS[:1]]

    def refined(self, number: int) -> Sequence[Self]:
        """Return nothing: there are no settings to refine."""
        return ()

    def fit(self, task: Task, seed: int) -> Fitted:
        """Store the examples; the seed is not used."""
        assert self.k is not None
        arrays = float32(
            keys=task.vectors, values=task.one_hot(), k=self.k, temperature=self.temperature
        )
        return Fitted("neighbours", arrays)
