"""Rejection: the probability that an image belongs to none of the classes.

Each class in turn is held out. The cosines of its images with the nearest mean of the *other*
classes are those of strangers; their cosines with the nearest mean of all, their own image left out
of it, are those of members. A logistic regression on that one number, with as many strangers as
members, separates them.

Sources: Mensink et al., Distance-Based Image Classification, PAMI 2013 (the nearest class mean);
leaving one class out is how open-set recognition is evaluated.
"""

import numpy as np

from indexer.encoder import unit
from search.labels.artifact import Arrays

from .task import Task, float32

# The penalty on the slope, per example.
RIDGE = 1e-3
MIN_DEVIATION = 1e-6
TOLERANCE = 1e-8


def learn_rejection(task: Task) -> Arrays:
    """Learn to recognize images of none of the classes.

    Args:
        task: Examples of all classes.

    Returns:
        `centres` `(classes, dim)` and `rejection` (intercept, slope), as `Head.none` reads them;
        empty where a class has a single example, which cannot be held out of its own mean.
    """
    counts = np.bincount(task.targets, minlength=task.classes)
    if counts.min() < 2 or task.classes < 2:
        return {}
    means = task.means()
    centres = unit(means)
    cosines = task.vectors @ centres.T
    rows = np.arange(len(task.targets))
    sizes = counts[task.targets][:, np.newaxis].astype(np.float32)
    without = unit((means[task.targets] * sizes - task.vectors) / (sizes - 1))
    own = np.einsum("nd,nd->n", without, task.vectors)
    cosines[rows, task.targets] = -np.inf
    strangers = cosines.max(axis=1)
    members = np.maximum(own, strangers)
    scores = np.concatenate([members, strangers]).astype(np.float64)
    none = np.repeat([0, 1], len(rows))
    return {**float32(rejection=_logistic(scores, none)), "centres": centres}


def _logistic(scores: np.ndarray, none: np.ndarray) -> np.ndarray:
    """Return (intercept, slope) of a logistic regression of `none` on `scores`, both `(n,)`."""
    from sklearn.linear_model import LogisticRegression

    mean, deviation = scores.mean(), max(scores.std(), MIN_DEVIATION)
    regression = LogisticRegression(C=1 / (RIDGE * len(scores)), tol=TOLERANCE)
    regression.fit(((scores - mean) / deviation)[:, np.newaxis], none)
    slope = regression.coef_[0, 0] / deviation
    return np.array([regression.intercept_[0] - slope * mean, slope])
