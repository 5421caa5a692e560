"""Classes that examples can teach, without an encoder."""

import numpy as np

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
