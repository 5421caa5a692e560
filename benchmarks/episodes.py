"""N-way K-shot episodes: how few-shot methods are compared in the literature.

Source: Vinyals et al., Matching Networks for One Shot Learning, NeurIPS 2016; Snell et al., 2017:
accuracy over many sampled episodes, with the 95 % interval of its mean.
"""

from dataclasses import dataclass

import numpy as np

from adaptation.task import Method, Task

# The normal distribution's quantile of a 95 % interval.
QUANTILE = 1.96


@dataclass(frozen=True)
class Episodes:
    """The result of many episodes.

    Attributes:
        accuracy: Mean share of queries that were classified rightly.
        interval: Half the width of its 95 % interval.
    """

    count: int
    accuracy: float
    interval: float


def run_episodes(
    method: Method,
    task: Task,
    *,
    ways: int = 5,
    shots: int = 1,
    queries: int = 15,
    count: int = 600,
    seed: int = 0,
) -> Episodes:
    """`count` episodes: `ways` drawn classes, `shots` examples of each, up to `queries` asked of
    each. method: with all settings made.
    """
    random = np.random.default_rng(seed)
    own = [np.flatnonzero(task.targets == number) for number in range(task.classes)]
    eligible = np.array([number for number, rows in enumerate(own) if len(rows) > shots])
    accuracies = []
    for _ in range(count):
        chosen = random.permutation(eligible)[:ways]
        sampled = [random.permutation(own[number])[: shots + queries] for number in chosen]
        support = np.concatenate([rows[:shots] for rows in sampled])
        asked = np.concatenate([rows[shots:] for rows in sampled])
        renumbered = np.full(task.classes, -1)
        renumbered[chosen] = np.arange(len(chosen))
        text = task.text[chosen]
        known, unknown = (
            Task(task.vectors[rows], renumbered[task.targets[rows]], text, task.logit_scale)
            for rows in (support, asked)
        )
        accuracies.append(method.fit(known, seed).accuracy(unknown))
    deviation = float(np.std(accuracies, ddof=1))
    return Episodes(count, float(np.mean(accuracies)), QUANTILE * deviation / count**0.5)
