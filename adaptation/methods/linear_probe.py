"""The linear probe: multinomial logistic regression on frozen vectors.

Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021,
appendix A.3: L-BFGS, the L2 strength swept on validation, first coarsely, then halving the steps
around the peak.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from adaptation.task import Fitted, Task, float32

from .softmax_regression import fit_softmax

# For unit vectors: below the least every class scores alike, above the largest nothing changes.
COARSE = (1e-1, 1e0, 1e1, 1e2, 1e3, 1e4)
ROUNDS = 2


@dataclass(frozen=True)
class LinearProbe:
    """c: the inverse of the L2 penalty's strength, as scikit-learn has it; None: swept."""

    name: ClassVar[str] = "linear-probe"
    needs_torch: ClassVar[bool] = True
    c: float | None = None

    def candidates(self, task: Task) -> Sequence[Self]:
        """Powers of ten."""
        return [self] if self.c is not None else [replace(self, c=c) for c in COARSE]

    def refined(self, number: int) -> Sequence[Self]:
        """One weaker and one stronger: by 10 ** 0.5, then by 10 ** 0.25."""
        if number > ROUNDS or self.c is None:
            return ()
        step = 10**0.5**number
        return [replace(self, c=self.c / step), replace(self, c=self.c * step)]

    def fit(self, task: Task, seed: int) -> Fitted:
        """The optimum, whatever the seed."""
        assert self.c is not None
        weights, bias = fit_softmax(task, 1 / (self.c * len(task.targets)))
        return Fitted("linear", float32(weights=weights, bias=bias))
