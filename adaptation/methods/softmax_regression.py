"""Multinomial logistic regression by L-BFGS: the convex problem under every linear head.

    minimise  mean_i CE(scale x_i W^T + b, y_i) + strength / 2 |W - prior|^2

With a prior of zero this is scikit-learn's LogisticRegression at C = 1 / (n strength).
"""

import numpy as np

from adaptation.task import Task
from indexer.encoder import Embeddings
from search.labels.heads import Floats

# The largest entry of the gradient at which the minimum is reached.
TOLERANCE = 1e-6
ITERATIONS = 1000


def fit_softmax(
    task: Task,
    strength: float,
    *,
    prior: Embeddings | None = None,
    scale: float = 1.0,
    bias: bool = True,
) -> tuple[Floats, Floats]:
    """The weights `(classes, dim)` and biases `(classes,)` of the minimum, in double precision.

    strength: of the penalty, 0 or more. prior: `(classes, dim)`, where the penalty pulls to.
    """
    import torch

    x = torch.from_numpy(task.vectors.astype(np.float64)) * scale
    y = torch.from_numpy(task.targets)
    start = np.zeros(task.text.shape) if prior is None else prior
    centre = torch.from_numpy(np.array(start, dtype=np.float64))
    weights = centre.clone().requires_grad_()
    biases = torch.zeros(task.classes, dtype=torch.float64, requires_grad=bias)
    minimiser = torch.optim.LBFGS(
        [weights, biases] if bias else [weights],
        max_iter=ITERATIONS,
        max_eval=2 * ITERATIONS,
        history_size=20,
        tolerance_grad=TOLERANCE,
        tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )

    def loss() -> torch.Tensor:
        minimiser.zero_grad()
        logits = torch.addmm(biases, x, weights.T)
        value = torch.nn.functional.cross_entropy(logits, y)
        value = value + strength / 2 * (weights - centre).square().sum()
        value.backward()
        return value

    minimiser.step(loss)
    return weights.detach().numpy(), biases.detach().numpy()
