"""Temperature and calibration error, against known shares or by hand."""

import numpy as np
import pytest

from adaptation.calibration import calibration_error, fit_temperature, log_loss
from search.labels.heads import softmax


def test_fit_temperature_recovers_the_true_one() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(20_000, 5)) * 4
    shares = softmax(logits, 2.5)
    targets = (random.random((20_000, 1)) > shares.cumsum(axis=1)).sum(axis=1).clip(max=4)
    temperature = fit_temperature(logits, targets)
    assert temperature == pytest.approx(2.5, rel=0.05)
    assert log_loss(logits, targets, temperature) < log_loss(logits, targets)
    assert calibration_error(logits, targets, temperature) < 0.02
    assert calibration_error(logits, targets) > 0.1


def test_calibration_error_is_the_mean_gap_of_bins() -> None:
    # Two bins: sure (0.9) and right every time, less sure (0.6) and right half of the time.
    logits = np.log([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 4)
    targets = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    assert calibration_error(logits, targets) == pytest.approx(0.5 * 0.1 + 0.5 * 0.1)
