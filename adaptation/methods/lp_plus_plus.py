"""LP++: a linear probe that blends in each class's text, without a search on validation.

    logits_c = x (w_c + alpha_c t_c)

Step sizes and starting points follow from the data: gradient descent whose step sizes are derived
from the Lipschitz constants of the loss in w and in alpha.
Source: Huang et al., LP++: A Surprisingly Strong Linear Probe for Few-Shot CLIP, CVPR 2024.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from adaptation.task import Fitted, Task, float32
from search.labels.heads import softmax


@dataclass(frozen=True)
class LPPlusPlus:
    """A probe trained by full gradient descent with momentum.

    Attributes:
        iterations: Of gradient descent.
        momentum: Of gradient descent.
        alpha_every: alpha is updated in every iteration of this number.
        text_scale: alpha starts at this times the mean cosine of examples with their class's text.
    """

    name: ClassVar[str] = "lp++"
    needs_torch: ClassVar[bool] = False
    iterations: int = 300
    momentum: float = 0.9
    alpha_every: int = 10
    text_scale: float = 250.0

    def candidates(self, task: Task) -> Sequence[Self]:
        """Return this method: nothing is searched."""
        return [self]

    def refined(self, number: int) -> Sequence[Self]:
        """Return nothing: there are no settings to refine."""
        return ()

    def fit(self, task: Task, seed: int) -> Fitted:
        """Train on full batches; the seed is not used."""
        x, y = task.vectors.astype(np.float64), task.one_hot().astype(np.float64)
        with_text = x @ task.text.T.astype(np.float64)
        count = len(x)
        weights = task.means().astype(np.float64)
        bias = np.zeros(task.classes)
        alpha = np.full(task.classes, self.text_scale * float((with_text * y).sum() / count))
        step = 4 * count / np.linalg.eigvalsh(x.T @ x)[-1]
        alpha_step = count / (4 * (with_text**2).sum(axis=0).max())
        velocity, bias_velocity = np.zeros_like(weights), np.zeros_like(bias)
        for number in range(1, self.iterations + 1):
            error = (softmax(x @ weights.T + bias + alpha * with_text) - y) / count
            velocity = self.momentum * velocity + error.T @ x
            bias_velocity = self.momentum * bias_velocity + error.sum(axis=0)
            weights -= step * velocity
            bias -= step * bias_velocity
            if number % self.alpha_every == 0:
                alpha -= alpha_step * (error * with_text).sum(axis=0)
        blended = weights + alpha[:, np.newaxis] * task.text
        return Fitted("linear", float32(weights=blended, bias=bias))
