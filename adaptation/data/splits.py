"""Splits of examples, stratified by class and reproducible by seed.

Images that are near-duplicates of each other always stay on one side: a copy of a training image in
validation measures memory.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from adaptation.task import Rows, Targets

MAX_FOLDS = 5
# From this many examples on, one fold is enough to choose by.
ONE_FOLD_FROM = 1500


def folds(
    targets: Targets, seed: int, *, groups: NDArray[np.int64] | None = None
) -> list[tuple[Rows, Rows]]:
    """Split examples into training and validation rows, up to five times.

    Each validation part holds its share of every class. Groups are what is split: each is as a
    whole on one side and counts for the class of its first example.

    Args:
        targets: `(n,)`, the class of each example.
        seed: Of the shuffle.
        groups: `(n,)`, equal for near-duplicates; by default each example is its own group.

    Returns:
        (training, validation) rows of each fold; none where a class has a single group.
    """
    from sklearn.model_selection import StratifiedKFold

    groups = np.arange(len(targets)) if groups is None else groups
    _, first, group_of = np.unique(groups, return_index=True, return_inverse=True)
    strata = targets[first]
    count = min(MAX_FOLDS, np.bincount(strata, minlength=targets.max() + 1).min())
    if count < 2:
        return []
    splitter = StratifiedKFold(count, shuffle=True, random_state=seed)
    used = 1 if len(targets) >= ONE_FOLD_FROM else count
    parts = []
    for (_, held_out), _ in zip(splitter.split(first, strata), range(used), strict=False):
        validation = np.isin(group_of, held_out)
        parts.append((np.flatnonzero(~validation), np.flatnonzero(validation)))
    return parts


def take_shots(targets: Targets, shots: int, seed: int) -> Rows:
    """Return `shots` random rows of each class, or all where it has fewer, in ascending order."""
    random = np.random.default_rng(seed)
    chosen = [
        random.permutation(np.flatnonzero(targets == number))[:shots]
        for number in np.unique(targets)
    ]
    return np.sort(np.concatenate(chosen))


def group_pairs(count: int, pairs: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Return `(count,)` group numbers, equal for all rows that a chain of pairs joins."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    left, right = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    joined = coo_array((np.ones(len(left)), (left, right)), shape=(count, count))
    groups: NDArray[np.int64] = connected_components(joined, directed=False)[1].astype(np.int64)
    return groups
