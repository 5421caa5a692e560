"""A probe that starts from what the class names say, and is held to it as far as that was right.

A Gaussian prior over the weights, its mean the zero-shot classifier: with no examples, or a strong
penalty, it *is* that classifier, with many it is the linear probe. How far to trust the names is
read off the examples, whose vectors know nothing of the texts: the share of the logit scale at
which zero-shot explains them best (Platt's temperature). By examples a class k it is divided by
1 + k, since text and image vectors of CLIP lie apart (Liang et al., Mind the Gap, NeurIPS 2022) and
what names say is soon said better by images. That rule was chosen on Caltech-101's training
photos and PACS' four domains with 1 to 8 examples a class; it does as well as a search on held-out
examples, and works with a single one.

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

from .softmax_regression import fit_softmax

STRENGTHS = (0.3, 0.03, 0.003)
ROUNDS = 1


@dataclass(frozen=True)
class ZeroShotProbe:
    """strength: of the penalty on the distance from the prior, in units of the model's logit
    scale; None: swept. trust: the share of the logit scale that the prior has; None: as the
    examples say.
    """

    name: ClassVar[str] = "zero-shot-probe"
    needs_torch: ClassVar[bool] = True
    strength: float | None = None
    trust: float | None = None

    def candidates(self, task: Task) -> Sequence[Self]:
        """Decades, from nearly zero-shot to nearly free."""
        strengths = STRENGTHS if self.strength is None else (self.strength,)
        return [replace(self, strength=strength) for strength in strengths]

    def refined(self, number: int) -> Sequence[Self]:
        """One weaker and one stronger, by 10 ** 0.5."""
        if number > ROUNDS or self.strength is None:
            return ()
        step = 10**0.5**number
        return [replace(self, strength=self.strength * by) for by in (1 / step, step)]

    def fit(self, task: Task, seed: int) -> Fitted:
        """The optimum, whatever the seed."""
        assert self.strength is not None
        trust = prior_trust(task) if self.trust is None else self.trust
        scale = task.logit_scale
        weights, _ = fit_softmax(
            task, self.strength, prior=trust * task.text, scale=scale, bias=False
        )
        zeros = np.zeros(task.classes)
        return Fitted("linear", float32(weights=scale * weights, bias=zeros))


def prior_trust(task: Task) -> float:
    """The share of the logit scale that the prior has, less than 1/2."""
    logits = task.logit_scale * (task.vectors @ task.text.T).astype(np.float64)
    calibrated = min(1.0, 1 / fit_temperature(logits, task.targets))
    return calibrated / (1 + len(task.targets) / task.classes)
