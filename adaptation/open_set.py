"""When none of the classes fits, learnt from the classes alone.

Each class in turn is held out: its images' cosines with the nearest mean of the *other* classes
are those of strangers, their cosine with the nearest mean, their own image left out of it, those
of members. A logistic regression on that one number, both sides weighing alike, tells them apart.
Source of the score: the nearest class mean, as in Mensink et al., Distance-Based Image
Classification, PAMI 2013; of the hold-out: leave-one-class-out, as open-set recognition is tested.
"""

import numpy as np

from indexer.encoder import unit
from search.labels.artifact import Arrays

from .task import Task, float32

ITERATIONS = 50
RIDGE = 1e-3


def learn_rejection(task: Task) -> Arrays:
    """`centres` `(classes, dim)` and `rejection` (intercept, slope), as `Head.none` reads them;
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
    none = np.repeat([0.0, 1.0], len(rows))
    return {**float32(rejection=_logistic(scores, none)), "centres": centres}


def _logistic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(intercept, slope) by Newton's method, the slope held by a slight ridge."""
    mean, deviation = x.mean(), max(x.std(), 1e-6)
    design = np.stack([np.ones_like(x), (x - mean) / deviation], axis=1)
    weights = np.zeros(2)
    ridge = np.diag([0.0, RIDGE]) * len(x)
    for _ in range(ITERATIONS):
        shares = 1 / (1 + np.exp(-np.clip(design @ weights, -60, 60)))
        gradient = design.T @ (shares - y) + ridge @ weights
        curvature = (design * (shares * (1 - shares))[:, np.newaxis]).T @ design + ridge
        step = np.linalg.solve(curvature + 1e-9 * np.eye(2), gradient)
        weights = weights - step
        if np.abs(step).max() < 1e-9:
            break
    slope = weights[1] / deviation
    return np.array([weights[0] - slope * mean, slope])
