"""Regression towards a prior, against scikit-learn without one."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from adaptation.methods.softmax_regression import fit_towards_prior
from adaptation.task import Task
from support.clusters import mean_loss


@pytest.mark.parametrize("strength", [1.0, 0.01, 1e-4])
def test_zero_prior_gives_logistic_regression(train: Task, strength: float) -> None:
    c = 1 / (strength * len(train.targets))
    oracle = LogisticRegression(C=c, fit_intercept=False, tol=1e-10, max_iter=10_000)
    oracle.fit(train.vectors.astype(np.float64), train.targets)
    weights = fit_towards_prior(train, strength, np.zeros_like(train.text))
    losses = [mean_loss(train, w) + strength / 2 * (w**2).sum() for w in (weights, oracle.coef_)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-7)
    np.testing.assert_allclose(weights, oracle.coef_, atol=2e-3)
