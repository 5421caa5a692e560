"""A linear probe with the zero-shot classifier as its prior.

A Gaussian prior over the weights has the zero-shot classifier as its mean: with a strong penalty
the probe *is* that classifier, and with many examples it approaches the linear probe. How far to
trust the class names is estimated from the examples: the share of the logit scale at which
zero-shot explains them best (temperature scaling), divided by 1 + k for k examples per class, since
text and image vectors of CLIP lie apart (Liang et al., Mind the Gap, NeurIPS 2022) and a few images
soon describe a class better than its name. That rule was chosen on Caltech-101's training photos
and the four domains of PACS with 1 to 8 examples per class; it does as well as a search on held-out
examples, and works with a single example.

Sources: Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022 (starting from zero-shot
weights); Silva-Rodríguez et al., A Closer Look at the Few-Shot Adaptation of Large Vision-Language
Models, CVPR 2024 (penalising the distance from them).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from adaptation.calibration import fit_temperature
from adaptation.task import Fitted, Task, float32

from .softmax_regression import fit_towards_prior

STRENGTHS = (0.3, 0.03, 0.003)
ROUNDS = 1


@dataclass(frozen=True)
class ZeroShotProbe:
    """A linear head that starts from the class names.

    Attributes:
        strength: The weight of the penalty on the distance from the prior, in units of the model's
            logit scale; None to choose it.
        trust: The share of the logit scale that the prior has; None to estimate it from the
            examples.
    """

    name: ClassVar[str] = "zero-shot-probe"
    needs_torch: ClassVar[bool] = False
    strength: float | None = None
    trust: float | None = None

    def candidates(self, task: Task) -> Sequence[Self]:
        """Return one probe per decade, from nearly zero-shot to nearly free."""
        strengths = STRENGTHS if self.strength is None else (self.strength,)
        return [replace(self, strength=strength) for strength in strengths]

    def refined(self, number: int) -> Sequence[Self]:
        """Return one weaker and one stronger probe, by 10 ** 0.5."""
        if number > ROUNDS or self.strength is None:
            return ()
        step = 10**0.5**number
        return [replace(self, strength=self.strength * by) for by in (1 / step, step)]

    def fit(self, task: Task, seed: int) -> Fitted:
        """Return the optimum, which does not depend on the seed."""
        assert self.strength is not None
        trust = prior_trust(task) if self.trust is None else self.trust
        scale = task.logit_scale
        weights = fit_towards_prior(task, self.strength, trust * task.text, scale=scale)
        zeros = np.zeros(task.classes)
        return Fitted("linear", float32(weights=scale * weights, bias=zeros))


def prior_trust(task: Task) -> float:
    """Return the share of the logit scale that the prior has, below 1/2."""
    logits = task.logit_scale * (task.vectors @ task.text.T).astype(np.float64)
    calibrated = min(1.0, 1 / fit_temperature(logits, task.targets))
    return calibrated / (1 + len(task.targets) / task.classes)
