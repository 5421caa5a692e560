"""The metrics of `clipdex eval`.

Scores are `(queries, items)`, higher is better; `relevant` is a boolean array of the same shape.
Ties count against the model: an item ranks after every irrelevant one of the same score, so that a
model which scores everything alike is not rewarded. Average precision treats tied items as one
step of the precision-recall curve, as scikit-learn does.

Source: Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, chapter 8.
"""

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]
Relevant = NDArray[np.bool_]
Values = NDArray[np.float64]


def first_ranks(scores: Scores, relevant: Relevant) -> NDArray[np.int64]:
    """Return the rank, from 1, of each query's best relevant item: `(queries,)`."""
    best = np.where(relevant, scores, -np.inf).max(axis=1, keepdims=True)
    ranks: NDArray[np.int64] = 1 + ((scores >= best) & ~relevant).sum(axis=1)
    return ranks


def recall_at(ranks: NDArray[np.int64], k: int) -> float:
    """Return the share of queries with a relevant item among the first k.

    With one right answer per query this is top-k accuracy.

    Args:
        ranks: Of each query's best relevant item, from 1: `(queries,)`.
        k: How many items count.
    """
    return float((ranks <= k).mean())


def average_precisions(scores: Scores, relevant: Relevant) -> Values:
    """Return each query's mean precision at the ranks of its relevant items: `(queries,)`."""
    order = np.argsort(-scores, axis=1, kind="stable")
    sorted_scores = np.take_along_axis(scores, order, axis=1)
    hits = np.take_along_axis(relevant, order, axis=1)
    found = hits.cumsum(axis=1)
    count = scores.shape[1]
    # Where an item's group of equal scores ends, which is where its precision is measured.
    last = np.ones(scores.shape, dtype=bool)
    last[:, :-1] = sorted_scores[:, 1:] != sorted_scores[:, :-1]
    ends = np.where(last, np.arange(count), count)
    ends = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    precision = np.take_along_axis(found, ends, axis=1) / (ends + 1)
    total: Values = (precision * hits).sum(axis=1) / np.maximum(found[:, -1], 1)
    return total


def precisions_at(scores: Scores, relevant: Relevant, k: int) -> Values:
    """Return the share of relevant items among the first k, or all if fewer: `(queries,)`."""
    order = np.lexsort((relevant, -scores), axis=1)[:, :k]
    shares: Values = np.take_along_axis(relevant, order, axis=1).mean(axis=1)
    return shares


def mean_per_class(right: NDArray[np.bool_], relevant: Relevant) -> float:
    """Return the mean over classes of the share of their images that are right.

    Classes without an image do not count.

    Args:
        right: Whether each image was labelled rightly, `(images,)`.
        relevant: The labels of each image, `(images, classes)`.
    """
    sizes = relevant.sum(axis=0)
    shares = (relevant & right[:, np.newaxis]).sum(axis=0)[sizes > 0] / sizes[sizes > 0]
    return float(shares.mean())
