"""How strongly the gradient is reversed, and how fast is learned, over the course of a training.

Source: Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR 2016, section 5.2.2.
"""

import math

GAMMA = 10.0
ALPHA, BETA = 10.0, 0.75


def reversal_strength(progress: float) -> float:
    """Return 2 / (1 + exp(-10 p)) - 1: from 0 towards 1 while progress p goes from 0 to 1."""
    return 2 / (1 + math.exp(-GAMMA * progress)) - 1


def decayed_rate(progress: float, start: float) -> float:
    """Return the learning rate at progress p from 0 to 1: start / (1 + 10 p) ** 0.75."""
    return start * math.pow(1 + ALPHA * progress, -BETA)
