"""Splits of examples, stratified by class and reproducible by seed.

Images that belong together always stay on one side, near-duplicates and shots of one scene: a copy
of a training image in validation measures memory.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from adaptation.task import Rows, Scenes, Targets

MAX_FOLDS = 5
# From this many examples on, one fold is enough to choose by.
ONE_FOLD_FROM = 1500
# And from this many scenes.
ONE_FOLD_FROM_SCENES = 750


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
    own = [np.unique(groups[targets == number]) for number in np.unique(targets)]
    count = min(MAX_FOLDS, *(len(numbers) for numbers in own))
    return _dealt(targets, groups, own, count, seed, len(targets) >= ONE_FOLD_FROM)


def scene_folds(
    targets: Targets, seed: int, scenes: Scenes, *, copies: Scenes | None = None
) -> list[tuple[Rows, Rows]]:
    """Split examples into training and validation rows, up to five times, by scenes.

    A class of a single scene is only trained on. Where each scene is a single image, or the copies
    of one, the folds are those of `folds`.

    Args:
        targets: `(n,)`, the class of each example.
        seed: Of the shuffle.
        scenes: `(n,)`, equal for examples of one scene.
        copies: `(n,)`, equal for near-duplicates; by default each example is its own.

    Returns:
        (training, validation) rows of each fold; none where no class has two scenes.
    """
    copies = np.arange(len(targets)) if copies is None else copies
    classes = np.unique(targets)
    own = [np.unique(scenes[targets == number]) for number in classes]
    counts = [len(np.unique(copies[targets == number])) for number in classes]
    held = [count for count, numbers in zip(counts, own, strict=True) if len(numbers) > 1]
    if not held:
        return []
    enough = sum(map(len, own)) >= ONE_FOLD_FROM_SCENES
    one_is_enough = len(targets) >= ONE_FOLD_FROM and enough
    return _dealt(targets, scenes, own, min(MAX_FOLDS, *held), seed, one_is_enough)


def _dealt(
    targets: Targets,
    groups: Scenes,
    own: Sequence[Scenes],
    count: int,
    seed: int,
    one_is_enough: bool,
) -> list[tuple[Rows, Rows]]:
    """Deal each class's groups out to the folds in turn; a single group is in none.

    Groups of several classes may leave a fold's training part without a class. Such a class is not
    held out there.
    """
    if count < 2:
        return []
    random = np.random.default_rng(seed)
    fold_of = {int(numbers[0]): -1 for numbers in own if len(numbers) == 1}
    for numbers in own:
        if len(numbers) > 1:
            start = int(random.integers(count))
            for position, group in enumerate(random.permutation(numbers).tolist()):
                fold_of.setdefault(group, (start + position) % count)
    fold = np.array([fold_of[group] for group in groups.tolist()])
    parts = []
    for one in range(1 if one_is_enough else count):
        held = fold == one
        held &= np.isin(targets, targets[~held])
        if held.any():
            parts.append((np.flatnonzero(~held), np.flatnonzero(held)))
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
    """Return `(count,)` group numbers: the first row of all that a chain of pairs joins."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    left, right = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    joined = coo_array((np.ones(len(left)), (left, right)), shape=(count, count))
    _, labels = connected_components(joined, directed=False)
    _, first, group_of = np.unique(labels, return_index=True, return_inverse=True)
    groups: NDArray[np.int64] = first[group_of]
    return groups
