"""Calibration: probabilities that match how often they are right.

Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017: one temperature for all
logits, fitted by likelihood on examples that the head has not seen, and the expected calibration
error over equal bins of confidence.
"""

import numpy as np

from search.labels.heads import Floats, softmax

from .task import Targets

BINS = 15
# The logarithms that the temperature is searched between.
MIN_LOG, MAX_LOG = -7.0, 7.0


def fit_temperature(logits: Floats, targets: Targets) -> float:
    """Return the temperature that makes the targets most likely.

    Args:
        logits: `(n, classes)`.
        targets: `(n,)`.

    Returns:
        What to divide the logits by.
    """
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda log: log_loss(logits, targets, np.exp(log)),
        bounds=(MIN_LOG, MAX_LOG),
        method="bounded",
    )
    return float(np.exp(found.x))


def log_loss(logits: Floats, targets: Targets, temperature: float = 1.0) -> float:
    """Return the mean negative log-likelihood of the targets, in nats.

    Args:
        logits: `(n, classes)`.
        targets: `(n,)`.
        temperature: What to divide the logits by.
    """
    from scipy.special import log_softmax

    likelihoods = log_softmax(logits / temperature, axis=1)
    return float(-likelihoods[np.arange(len(targets)), targets].mean())


def calibration_error(
    logits: Floats, targets: Targets, temperature: float = 1.0, bins: int = BINS
) -> float:
    """Return the expected calibration error, from 0 to 1.

    It is the mean over examples of |accuracy - confidence| of the bin of confidence that each lies
    in.

    Args:
        logits: `(n, classes)`.
        targets: `(n,)`.
        temperature: What to divide the logits by.
        bins: How many bins of equal width.
    """
    probabilities = softmax(logits, temperature)
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == targets
    numbers = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(numbers, weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(targets))
