"""Pseudo-labels: a linear head labels the target, and learns from the labels that it is sure of.

The first labels are those that the head of the source and the class names together are sure of:
where a head is surely wrong, names often know better, and the other way round.

Sources: Lee, Pseudo-Label, ICML 2013 workshops; Kumar et al., Understanding Self-Training for
Gradual Domain Adaptation, ICML 2020.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from adaptation.methods.zero_shot_probe import ZeroShotProbe
from adaptation.task import Fitted, Task
from indexer.encoder import Embeddings
from search.labels.heads import Floats, softmax

from .shift import Aligned, Shift

CONFIDENCES = (0.9, 0.6)
# Of the probe's penalty. The middle one of those that the probe itself tries: which is best on the
# source says little about the target.
STRENGTH = 0.03


@dataclass(frozen=True)
class PseudoLabels:
    """Self-training for a few rounds.

    Attributes:
        confidence: From which probability on a label is believed; None to choose it.
        rounds: How often the target is labelled.
    """

    name: ClassVar[str] = "pseudo-labels"
    needs_torch: ClassVar[bool] = False
    aligns: ClassVar[bool] = False
    confidence: float | None = None
    rounds: int = 2

    def candidates(self) -> Sequence[Self]:
        """Return one setting for each of two thresholds."""
        confidences = CONFIDENCES if self.confidence is None else (self.confidence,)
        return [replace(self, confidence=confidence) for confidence in confidences]

    def fit(self, shift: Shift, seed: int) -> Aligned:
        """Train; nothing depends on the seed."""
        assert self.confidence is not None
        known, target = shift.pooled(), shift.target
        fitted = fit_probe(known)
        shares = (_shares(known.zero_shot(), target) + _shares(fitted, target)) / 2
        believed = np.zeros(len(target), bool)
        for _ in range(self.rounds):
            believed = shares.max(axis=1) >= self.confidence
            fitted = fit_probe(
                replace(
                    known,
                    vectors=np.concatenate([known.vectors, target[believed]]),
                    targets=np.concatenate([known.targets, shares[believed].argmax(axis=1)]),
                    copies=None,
                    scenes=None,
                )
            )
            shares = _shares(fitted, target)
        return Aligned(fitted, metrics={"believed": float(believed.mean())})


def fit_probe(task: Task) -> Fitted:
    """Return the zero-shot probe of a task."""
    return ZeroShotProbe(strength=STRENGTH).fit(task, 0)


def _shares(fitted: Fitted, vectors: Embeddings) -> Floats:
    return softmax(fitted.logits(vectors))
