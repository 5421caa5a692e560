"""Prototypical networks on a frozen encoder: the nearest class mean.

Source: Snell, Swersky and Zemel, Prototypical Networks for Few-shot Learning, NeurIPS 2017. With
unit vectors and means brought to unit length, squared Euclidean distance is 2 - 2 cosine, so the
classifier is linear.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from adaptation.task import Fitted, Task, float32
from indexer.encoder import unit


@dataclass(frozen=True)
class Prototypes:
    """The mean of each class; calibration finds the scale."""

    name: ClassVar[str] = "prototypes"
    needs_torch: ClassVar[bool] = False

    def candidates(self, task: Task) -> Sequence[Self]:
        """Return this method: nothing is searched."""
        return [self]

    def refined(self, number: int) -> Sequence[Self]:
        """Return nothing: there are no settings to refine."""
        return ()

    def fit(self, task: Task, seed: int) -> Fitted:
        """Return the means; the seed is not used."""
        weights = task.logit_scale * unit(task.means())
        return Fitted("linear", float32(weights=weights, bias=np.zeros(task.classes)))
