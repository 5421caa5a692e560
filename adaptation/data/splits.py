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

    Each validation part holds its share of every class. The draw is part of what a seed means:
    scikit-learn's splitters draw other folds, and heads and interrupted tuning runs of earlier
    versions would not repeat (docs/decisions/0021-folds.md).

    Args:
        targets: `(n,)`, the class of each example.
        seed: Of the shuffle.
        groups: `(n,)`, equal for near-duplicates; by default each example is its own group.

    Returns:
        (training, validation) rows of each fold; none where a class has a single group.
    """
    groups = np.arange(len(targets)) if groups is None else groups
    random = np.random.default_rng(seed)
    own = [np.unique(groups[targets == number]) for number in np.unique(targets)]
    count = min(MAX_FOLDS, *(len(numbers) for numbers in own))
    if count < 2:
        return []
    fold_of: dict[int, int] = {}
    for numbers in own:
        start = int(random.integers(count))
        for position, group in enumerate(random.permutation(numbers).tolist()):
            fold_of.setdefault(group, (start + position) % count)
    fold = np.array([fold_of[group] for group in groups.tolist()])
    used = 1 if len(targets) >= ONE_FOLD_FROM else count
    return [(np.flatnonzero(fold != one), np.flatnonzero(fold == one)) for one in range(used)]


def take_shots(targets: Targets, shots: int, seed: int) -> Rows:
    """Return `shots` random rows of each class, or all where it has fewer, in ascending order."""
    random = np.random.default_rng(seed)
    chosen = [
        random.permutation(np.flatnonzero(targets == number))[:shots]
        for number in np.unique(targets)
    ]
    return np.sort(np.concatenate(chosen))


def group_pairs(count: int, pairs: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Return `(count,)` group numbers: the first row of all that a chain of pairs joins."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    left, right = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    joined = coo_array((np.ones(len(left)), (left, right)), shape=(count, count))
    _, labels = connected_components(joined, directed=False)
    _, first, group_of = np.unique(labels, return_index=True, return_inverse=True)
    groups: NDArray[np.int64] = first[group_of]
    return groups
