"""Learning rates over steps and depth, and when which layers are trained.

Sources: Goyal et al., Accurate, Large Minibatch SGD, 2017 (warm-up); Loshchilov and Hutter, SGDR,
ICLR 2017 (cosine); Howard and Ruder, Universal Language Model Fine-tuning, ACL 2018
(discriminative rates, gradual unfreezing).
"""

import math


def warmup_cosine(step: int, *, warmup: int, total: int, floor: float = 0.0) -> float:
    """Return the share of the peak rate at a step.

    It rises linearly to 1, then falls along a cosine.

    Args:
        step: From 0.
        warmup: The number of steps over which the rate rises.
        total: The number of all steps.
        floor: The share at the last step.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = (step - warmup) / max(1, total - 1 - warmup)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def by_depth(depths: int, decay: float) -> list[float]:
    """Return the share of the peak rate of each of `depths` layers, from the input on.

    The last layer has 1, and each other one `decay` times that of the next.
    """
    return [decay ** (depths - 1 - depth) for depth in range(depths)]


def unfrozen(epoch: int, *, depths: int, per_epoch: int) -> int:
    """Return how many layers, counted from the output, are trained in an epoch, from 0.

    Each epoch adds `per_epoch` of the `depths` layers; with 0 all are trained from the start.
    """
    return depths if per_epoch == 0 else min(depths, (epoch + 1) * per_epoch)
