"""Classes that examples can teach, without an encoder."""

import numpy as np
from scipy.special import log_softmax

from adaptation.task import Task
from indexer.encoder import unit

DIM, CLASSES = 32, 6


def clustered(count: int, seed: int, *, classes: int = CLASSES, noise: float = 0.6) -> Task:
    """`count` examples a class around centres that are the same for every seed; the texts point
    roughly there.
    """
    fixed = np.random.default_rng(7)
    centres = unit(fixed.normal(size=(classes, DIM)))
    text = unit(centres + 0.25 * fixed.normal(size=(classes, DIM)))
    targets = np.repeat(np.arange(classes), count)
    drawn = np.random.default_rng(seed).normal(size=(len(targets), DIM)) * noise / DIM**0.5
    return Task(unit(centres[targets] + drawn * 2), targets, text, 20.0)


def zero_shot_accuracy(task: Task) -> float:
    """The share of images that are nearest to their own class's text."""
    return float(((task.vectors @ task.text.T).argmax(axis=1) == task.targets).mean())


def mean_loss(task: Task, weights: np.ndarray, bias: np.ndarray | float = 0.0) -> float:
    """The mean cross-entropy of a linear head."""
    rows = np.arange(len(task.targets))
    return float(-log_softmax(task.vectors @ weights.T + bias, axis=1)[rows, task.targets].mean())
