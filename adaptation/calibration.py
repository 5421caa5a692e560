"""Probabilities that mean what they say.

Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017: one temperature for all
logits, fitted by likelihood on examples that the head has not seen, and the expected calibration
error over equal bins of confidence.
"""

import numpy as np

from search.labels.heads import Floats, softmax

from .task import Targets

BINS = 15
# Logarithms between which the temperature is looked for.
LOWEST, HIGHEST = -7.0, 7.0
STEPS = 60
GOLDEN = (5**0.5 - 1) / 2


def fit_temperature(logits: Floats, targets: Targets) -> float:
    """What to divide `logits` `(n, classes)` by, so that the targets `(n,)` are most likely.

    The loss falls, then rises in the logarithm of the temperature: golden-section search.
    """
    low, high = LOWEST, HIGHEST
    for _ in range(STEPS):
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        if log_loss(logits, targets, np.exp(left)) <= log_loss(logits, targets, np.exp(right)):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def log_loss(logits: Floats, targets: Targets, temperature: float = 1.0) -> float:
    """The mean negative log-likelihood, in nats."""
    scaled = logits / temperature
    scaled = scaled - scaled.max(axis=1, keepdims=True)
    normal = np.log(np.exp(scaled).sum(axis=1))
    return float((normal - scaled[np.arange(len(targets)), targets]).mean())


def calibration_error(
    logits: Floats, targets: Targets, temperature: float = 1.0, bins: int = BINS
) -> float:
    """The expected calibration error: the mean, over images, of |accuracy - confidence| of the
    bin of confidence that each lies in.
    """
    shares = softmax(logits, temperature)
    confidence, right = shares.max(axis=1), shares.argmax(axis=1) == targets
    numbers = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(numbers, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(targets))
