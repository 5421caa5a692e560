"""Hyperparameters chosen on held-out examples, never on those that measure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from adaptation.data.splits import folds, scene_folds
from search.labels.heads import Floats

from .calibration import log_loss
from .task import Method, Rows, Targets, Task

M = TypeVar("M", bound=Method)


@dataclass(frozen=True)
class Choice(Generic[M]):
    """A method with all settings chosen, and its results on the held-out examples.

    Where nothing can be held out, the middle one of the candidates is taken and the arrays are
    empty.

    Attributes:
        method: The method.
        logits: `(m, classes)`, of the held-out examples.
        targets: `(m,)`, their classes.
        rows: `(m,)`, their numbers.
        tried: How many settings were compared.
    """

    method: M
    logits: Floats = field(default_factory=lambda: np.empty((0, 0)))
    targets: Targets = field(default_factory=lambda: np.empty(0, np.int64))
    rows: Rows = field(default_factory=lambda: np.empty(0, np.int64))
    tried: int = 0

    @property
    def accuracy(self) -> float:
        """The share of held-out examples that were classified correctly."""
        return float((self.logits.argmax(axis=1) == self.targets).mean())


def choose(method: M, task: Task, seed: int) -> Choice[M]:
    """Choose the candidate with the best accuracy on held-out examples.

    Args:
        method: Its fields that are None are chosen.
        task: The examples; a scene of them stays in one fold.
        seed: Of the folds and of training.

    Returns:
        The best candidate; of equally accurate ones the one with the higher likelihood.
    """
    if task.scenes is None:
        parts = folds(task.targets, seed, groups=task.copies)
    else:
        parts = scene_folds(task.targets, seed, task.scenes, copies=task.copies)
    candidates = method.candidates(task)
    if not parts:
        return Choice(candidates[len(candidates) // 2])
    tried: dict[M, Choice[M]] = {}

    def best(of: Iterable[M]) -> Choice[M]:
        for one in of:
            if one not in tried:
                tried[one] = _held_out(one, task, parts, seed)
        return max(tried.values(), key=lambda c: (c.accuracy, -log_loss(c.logits, c.targets)))

    chosen = best(candidates)
    number = 1
    while more := chosen.method.refined(number):
        chosen = best(more)
        number += 1
    return Choice(chosen.method, chosen.logits, chosen.targets, chosen.rows, len(tried))


def _held_out(method: M, task: Task, parts: list[tuple[Rows, Rows]], seed: int) -> Choice[M]:
    logits, targets = [], []
    for training, validation in parts:
        fitted = method.fit(task.subset(training), seed)
        logits.append(fitted.logits(task.vectors[validation]))
        targets.append(task.targets[validation])
    rows = np.concatenate([validation for _, validation in parts])
    return Choice(method, np.concatenate(logits), np.concatenate(targets), rows)
