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
    """k: how many vote; None: chosen. temperature: the smaller, the more the nearest count."""

    name: ClassVar[str] = "k-nn"
    needs_torch: ClassVar[bool] = False
    k: int | None = None
    temperature: float = 0.07

    def candidates(self, task: Task) -> Sequence[Self]:
        """Up to a few times as many as a class has."""
        if self.k is not None:
            return [self]
        fitting = [k for k in COUNTS if k <= 4 * len(task.targets) // task.classes]
        return [replace(self, k=k) for k in fitting or COUNTS[:1]]

    def refined(self, number: int) -> Sequence[Self]:
        """None."""
        return ()

    def fit(self, task: Task, seed: int) -> Fitted:
        """Keeps the examples; no chance in it."""
        assert self.k is not None
        arrays = float32(
            keys=task.vectors, values=task.one_hot(), k=self.k, temperature=self.temperature
        )
        return Fitted("neighbours", arrays)
