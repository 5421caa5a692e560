"""Are these two images of one class? ROC-AUC and the equal error rate over pairs.

Source: Fawcett, An introduction to ROC analysis, 2006. The equal error rate is where the shares of
false alarms and of misses cross.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

from adaptation.task import Targets
from indexer.encoder import Embeddings


@dataclass(frozen=True)
class Verification:
    """How well cosines separate pairs of one class from pairs of two.

    Attributes:
        pairs: How many pairs were compared.
        auc: The probability that a pair of one class is closer than one of two.
        eer: The equal error rate, from 0 to 1.
    """

    pairs: int
    auc: float
    eer: float


def verify(vectors: Embeddings, targets: Targets) -> Verification:
    """Measure all pairs of `vectors` `(n, dim)` of classes `targets` `(n,)` by their cosines."""
    left, right = np.triu_indices(len(vectors), 1)
    scores = (vectors @ vectors.T)[left, right].astype(np.float64)
    same = targets[left] == targets[right]
    return Verification(
        len(scores), float(roc_auc_score(same, scores)), equal_error_rate(scores, same)
    )


def equal_error_rate(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Return the mean of both error shares at the threshold where they differ least."""
    alarms, found, _ = roc_curve(positive, scores, drop_intermediate=False)
    misses = 1 - found
    crossing = int(np.argmin(np.abs(misses - alarms)))
    return float((misses[crossing] + alarms[crossing]) / 2)
