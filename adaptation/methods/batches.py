"""Examples in a shuffled order, the same for the same seed."""

from collections.abc import Iterator

import numpy as np

from adaptation.task import Rows


def batches(count: int, size: int, epochs: int, seed: int) -> Iterator[Rows]:
    """Numbers of examples, `size` at a time (fewer at an epoch's end), each once an epoch."""
    random = np.random.default_rng(seed)
    for _ in range(epochs):
        order = random.permutation(count)
        for start in range(0, count, size):
            yield order[start : start + size]
