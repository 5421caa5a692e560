"""The linear probe: multinomial logistic regression on frozen vectors.

Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021,
appendix A.3: L-BFGS, the L2 strength swept on validation, first coarsely, then halving the steps
around the peak.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from adaptation.task import Fitted, Task, float32

# Strengths for unit vectors: below the smallest every class scores alike, above the largest
# nothing changes.
COARSE = (1e-1, 1e0, 1e1, 1e2, 1e3, 1e4)
ROUNDS = 2
# scikit-learn's own 1e-4 stops up to 0.001 nats above the minimum.
TOLERANCE = 1e-6
MAX_ITERATIONS = 1000


@dataclass(frozen=True)
class LinearProbe:
    """A linear head that starts from nothing.

    Attributes:
        c: The inverse of the L2 penalty's strength, as in scikit-learn; None to choose it.
    """

    name: ClassVar[str] = "linear-probe"
    needs_torch: ClassVar[bool] = False
    c: float | None = None

    def candidates(self, task: Task) -> Sequence[Self]:
        """Return a probe for each power of ten, or this one where `c` is set."""
        return [self] if self.c is not None else [replace(self, c=c) for c in COARSE]

    def refined(self, number: int) -> Sequence[Self]:
        """Return one weaker and one stronger probe: by 10 ** 0.5, then by 10 ** 0.25."""
        if number > ROUNDS or self.c is None:
            return ()
        step = 10**0.5**number
        return [replace(self, c=self.c / step), replace(self, c=self.c * step)]

    def fit(self, task: Task, seed: int) -> Fitted:
        """Return the optimum, which does not depend on the seed."""
        from sklearn.linear_model import LogisticRegression

        from .softmax_regression import single_threaded

        assert self.c is not None
        # With two classes scikit-learn fits one vector, the difference of the two that a softmax
        # has. Their penalty is half as strong.
        binary = task.classes == 2
        classifier = LogisticRegression(
            C=2 * self.c if binary else self.c, tol=TOLERANCE, max_iter=MAX_ITERATIONS
        )
        with single_threaded():
            classifier.fit(task.vectors.astype(np.float64), task.targets)
        weights, bias = classifier.coef_, classifier.intercept_
        if binary:
            weights, bias = (np.concatenate([-one, one]) / 2 for one in (weights, bias))
        return Fitted("linear", float32(weights=weights, bias=bias))
