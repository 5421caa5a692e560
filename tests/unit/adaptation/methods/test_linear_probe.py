"""The linear probe, against SciPy's optimum of its loss."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import check_grad, minimize
from scipy.special import log_softmax

from adaptation.methods.linear_probe import LinearProbe
from adaptation.task import Task
from support.clusters import mean_loss


@pytest.mark.parametrize("c", [0.1, 3.0, 100.0])
@pytest.mark.parametrize("classes", [2, 6])
def test_the_probe_minimizes_its_loss(train: Task, c: float, classes: int) -> None:
    rows = np.flatnonzero(train.targets < classes)
    task = replace(train.subset(rows), text=train.text[:classes])
    penalty = 1 / (2 * c * len(rows))
    fitted = LinearProbe(c=c).fit(task, 0).arrays
    size = classes * (task.vectors.shape[1] + 1)

    def loss(flat: np.ndarray) -> float:
        both = flat.reshape(classes, -1)
        return mean_loss(task, both[:, :-1], both[:, -1]) + penalty * float(
            (both[:, :-1] ** 2).sum()
        )

    def gradient(flat: np.ndarray) -> np.ndarray:
        both = flat.reshape(classes, -1)
        shares = np.exp(log_softmax(task.vectors @ both[:, :-1].T + both[:, -1], axis=1))
        errors = (shares - np.eye(classes)[task.targets]) / len(rows)
        return np.hstack(
            [errors.T @ task.vectors + 2 * penalty * both[:, :-1], errors.sum(axis=0)[:, None]]
        ).ravel()

    assert check_grad(loss, gradient, np.random.default_rng(0).normal(size=size)) < 1e-4
    oracle = minimize(loss, np.zeros(size), jac=gradient, method="BFGS", options={"gtol": 1e-9})
    own = np.hstack([fitted["weights"], fitted["bias"][:, None]])
    assert loss(own.ravel()) == pytest.approx(oracle.fun, abs=1e-7)
    np.testing.assert_allclose(fitted["weights"], oracle.x.reshape(classes, -1)[:, :-1], atol=2e-3)
