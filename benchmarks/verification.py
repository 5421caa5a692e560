"""Are these two of one class? ROC-AUC and the equal error rate over pairs.

Sources: Fawcett, An introduction to ROC analysis, 2006 (area by ranks, ties counting half); the
equal error rate is where the shares of false alarms and of misses cross.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adaptation.task import Targets
from indexer.encoder import Embeddings


@dataclass(frozen=True)
class Verification:
    """pairs: how many. auc: P(a pair of one class is closer than one of two). eer: share."""

    pairs: int
    auc: float
    eer: float


def verify(vectors: Embeddings, targets: Targets) -> Verification:
    """Over all pairs of `vectors` `(n, dim)` of unit length, by their cosines."""
    left, right = np.triu_indices(len(vectors), 1)
    scores = (vectors @ vectors.T)[left, right].astype(np.float64)
    same = targets[left] == targets[right]
    return Verification(len(scores), area(scores, same), equal_error_rate(scores, same))


def area(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """The area under the ROC curve of `scores` `(n,)`."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    # The mean rank, from 1, of all that share a score.
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positives, negatives = int(positive.sum()), int((~positive).sum())
    above = ranks[positive].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def equal_error_rate(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Between the two thresholds around the crossing, the mean of both shares."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    accepted = np.concatenate([[0], np.cumsum(positive[order])[ends]])
    alarms = np.concatenate([[0], np.cumsum(~positive[order])[ends]])
    misses = 1 - accepted / positive.sum()
    false = alarms / (~positive).sum()
    at = int(np.argmin(np.abs(misses - false)))
    return float((misses[at] + false[at]) / 2)
