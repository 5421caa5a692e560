"""Batches of examples in a shuffled order that depends on the seed only."""

from collections.abc import Iterator

import numpy as np

from adaptation.task import Rows


def batches(count: int, size: int, epochs: int, seed: int) -> Iterator[Rows]:
    """Yield the rows of each batch; in each epoch every one of `count` examples occurs once."""
    random = np.random.default_rng(seed)
    for _ in range(epochs):
        order = random.permutation(count)
        for start in range(0, count, size):
            yield order[start : start + size]
