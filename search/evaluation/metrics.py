"""What `clipdex eval` measures, defined once.

Scores are `(queries, items)`, larger is better; `relevant` is a boolean array of the same shape.
Ties count against the model: an item ranks behind every irrelevant one of the same score, so that
a model which scores everything alike is not rewarded. Average precision takes tied items as one
step of the precision-recall curve, as scikit-learn does.
Source: Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, chapter 8.
"""

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]
Relevant = NDArray[np.bool_]
Figures = NDArray[np.float64]


def first_ranks(scores: Scores, relevant: Relevant) -> NDArray[np.int64]:
    """`(queries,)`: the rank, from 1, of each query's best relevant item."""
    best = np.where(relevant, scores, -np.inf).max(axis=1, keepdims=True)
    ranks: NDArray[np.int64] = 1 + ((scores >= best) & ~relevant).sum(axis=1)
    return ranks


def recall_at(ranks: NDArray[np.int64], k: int) -> float:
    """The share of queries with a relevant item among the first k.

    With one right answer a query this is top-k accuracy.
    """
    return float((ranks <= k).mean())


def average_precisions(scores: Scores, relevant: Relevant) -> Figures:
    """`(queries,)`: the mean, over a query's relevant items, of the precision at their rank."""
    order = np.argsort(-scores, axis=1, kind="stable")
    sorted_scores = np.take_along_axis(scores, order, axis=1)
    hits = np.take_along_axis(relevant, order, axis=1)
    found = hits.cumsum(axis=1)
    count = scores.shape[1]
    # Where the group of equal scores that an item is in ends: precision is taken there.
    last = np.ones(scores.shape, dtype=bool)
    last[:, :-1] = sorted_scores[:, 1:] != sorted_scores[:, :-1]
    ends = np.where(last, np.arange(count), count)
    ends = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    precision = np.take_along_axis(found, ends, axis=1) / (ends + 1)
    total: Figures = (precision * hits).sum(axis=1) / np.maximum(found[:, -1], 1)
    return total


def precisions_at(scores: Scores, relevant: Relevant, k: int) -> Figures:
    """`(queries,)`: the share of relevant items among the first k (all, where they are fewer)."""
    order = np.lexsort((relevant, -scores), axis=1)[:, :k]
    shares: Figures = np.take_along_axis(relevant, order, axis=1).mean(axis=1)
    return shares


def mean_per_class(right: NDArray[np.bool_], relevant: Relevant) -> float:
    """The mean over classes of the share of its images that are right.

    right: `(images,)`. relevant: `(images, classes)`, the labels of each. Classes without an
    image do not count.
    """
    sizes = relevant.sum(axis=0)
    shares = (relevant & right[:, np.newaxis]).sum(axis=0)[sizes > 0] / sizes[sizes > 0]
    return float(shares.mean())
