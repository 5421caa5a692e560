"""Learning rates over steps and depth, and when which layers move.

Sources: Goyal et al., Accurate, Large Minibatch SGD, 2017 (warm-up); Loshchilov and Hutter, SGDR,
ICLR 2017 (cosine); Howard and Ruder, Universal Language Model Fine-tuning, ACL 2018
(discriminative rates, gradual unfreezing).
"""

import math


def warmup_cosine(step: int, *, warmup: int, total: int, floor: float = 0.0) -> float:
    """The share of the peak rate at `step`, from 0: rises linearly over `warmup` steps to 1, then
    falls along a cosine to `floor` at the last step.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = (step - warmup) / max(1, total - 1 - warmup)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def by_depth(depths: int, decay: float) -> list[float]:
    """The share of the peak rate of each of `depths` layers, from the input to the output: the last
    has 1, each before it `decay` times the next one's.
    """
    return [decay ** (depths - 1 - depth) for depth in range(depths)]


def unfrozen(epoch: int, *, depths: int, per_epoch: int) -> int:
    """How many layers, counted from the output, move in `epoch`, from 0: `per_epoch` more each
    time; all of them from the start where it is 0.
    """
    return depths if per_epoch == 0 else min(depths, (epoch + 1) * per_epoch)
