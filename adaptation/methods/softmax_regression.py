"""Multinomial logistic regression pulled towards a given classifier, by L-BFGS.

    minimize  mean_i CE(scale x_i W^T, y_i) + strength / 2 |W - prior|^2

scikit-learn's LogisticRegression shrinks weights towards zero only, so the loss is written here and
SciPy finds its minimum. With a prior of zero both have the same minimum.
"""

import numpy as np
from threadpoolctl import threadpool_limits

from adaptation.task import Task
from indexer.encoder import Embeddings
from search.labels.heads import Floats

# The largest entry of the gradient at which the minimum is reached.
TOLERANCE = 1e-6
MAX_ITERATIONS = 1000
# How many earlier steps L-BFGS derives the curvature from.
HISTORY = 20


def fit_towards_prior(
    task: Task, strength: float, prior: Embeddings, *, scale: float = 1.0
) -> Floats:
    """Return the weights that minimize the penalized cross-entropy.

    Args:
        task: The examples.
        strength: The weight of the penalty, above 0.
        prior: `(classes, dim)`, the weights that the penalty pulls to.
        scale: A factor of the logits.

    Returns:
        `(classes, dim)`, in double precision.
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    vectors = scale * task.vectors.astype(np.float64)
    start = prior.astype(np.float64)
    rows, targets = np.arange(len(task.targets)), task.targets

    def loss_and_gradient(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(start.shape)
        likelihoods = log_softmax(vectors @ weights.T, axis=1)
        loss = -likelihoods[rows, targets].mean()
        errors = np.exp(likelihoods)
        errors[rows, targets] -= 1
        moved = weights - start
        gradient = errors.T @ vectors / len(rows) + strength * moved
        return loss + strength / 2 * np.square(moved).sum(), gradient.ravel()

    with single_threaded():
        found = minimize(
            loss_and_gradient,
            start.ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": MAX_ITERATIONS, "gtol": TOLERANCE, "ftol": 0, "maxcor": HISTORY},
        )
    weights: Floats = found.x.reshape(start.shape)
    return weights


def single_threaded() -> threadpool_limits:
    """Keep matrix products in one thread while the returned context is open.

    An iteration takes milliseconds, and OpenBLAS's threads wait for each other by spinning: where
    other processes use the cores, two threads were 19 times slower than one.
    """
    return threadpool_limits(1, user_api="blas")
