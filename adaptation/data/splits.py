"""Splits of examples, stratified by class and the same for the same seed.

Images that are near-duplicates of each other always stay on one side: a copy of a training
image in validation measures memory.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from adaptation.task import Rows, Targets

MAX_FOLDS = 5
# Above this many examples one fold is enough to choose by.
ONE_FOLD_FROM = 1500


def folds(
    targets: Targets, seed: int, *, groups: NDArray[np.int64] | None = None
) -> list[tuple[Rows, Rows]]:
    """(training, validation) rows of up to five folds; none where a class has a single group.

    Each validation part holds a fair share of every class. groups: `(n,)`, alike for
    near-duplicates; each example is its own where it is None.
    """
    groups = np.arange(len(targets)) if groups is None else groups
    random = np.random.default_rng(seed)
    own = [np.unique(groups[targets == number]) for number in np.unique(targets)]
    count = min(MAX_FOLDS, *(len(numbers) for numbers in own))
    if count < 2:
        return []
    place: dict[int, int] = {}
    for numbers in own:
        start = int(random.integers(count))
        for position, group in enumerate(random.permutation(numbers).tolist()):
            place.setdefault(group, (start + position) % count)
    part = np.array([place[group] for group in groups.tolist()])
    every = np.arange(len(targets))
    used = 1 if len(targets) >= ONE_FOLD_FROM else count
    return [(every[part != number], every[part == number]) for number in range(used)]


def take_shots(targets: Targets, shots: int, seed: int) -> Rows:
    """`shots` rows of each class (all, where it has fewer), in order."""
    random = np.random.default_rng(seed)
    chosen = [
        random.permutation(np.flatnonzero(targets == number))[:shots]
        for number in np.unique(targets)
    ]
    return np.sort(np.concatenate(chosen))


def group_pairs(count: int, pairs: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """`(count,)`: one number for all that a chain of pairs joins."""
    parent = list(range(count))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    for left, right in pairs:
        parent[max(root(left), root(right))] = min(root(left), root(right))
    return np.array([root(number) for number in range(count)])
