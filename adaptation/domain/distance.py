"""How far apart two sets of embeddings lie.

Sources: Gretton et al., A Kernel Two-Sample Test, JMLR 2012 (MMD); Ben-David et al., Analysis of
Representations for Domain Adaptation, NIPS 2006 (proxy A-distance); Dowson and Landau, The Fréchet
distance between multivariate normal distributions, 1982.
"""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from adaptation.methods.softmax_regression import single_threaded
from indexer.encoder import Embeddings

# Of the kernels, as multiples of the median squared distance (Long et al., Learning Transferable
# Features with Deep Adaptation Networks, ICML 2015).
BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
MAX_FOLDS = 5
# The inverse penalty of the domain classifier on entries of size 1, of which there are hundreds.
C = 0.01
MIN_DEVIATION = 1e-12
# Of a set, so many are enough for a median and for kernels of each with each.
MAX_IMAGES = 2000

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Distances:
    """Three distances of two sets of embeddings, and how well a classifier tells them apart.

    Attributes:
        mmd: The squared maximum mean discrepancy, without bias: about 0 for two sets of one kind.
        proxy_a_distance: From 0, nothing tells them apart, to 2, a linear classifier always does.
        frechet: The Fréchet distance of the normal distributions with their means and covariances;
            for few images too large.
        domain_accuracy: The share of images that the classifier, which did not learn from them,
            puts into the right set; both sets count the same.
    """

    mmd: float
    proxy_a_distance: float
    frechet: float
    domain_accuracy: float

    def to_json(self) -> dict[str, float]:
        """Return the object that `--json` prints."""
        return asdict(self)


def distances(first: Embeddings, second: Embeddings, seed: int = 0) -> Distances:
    """Measure how far apart two sets of embeddings lie.

    Args:
        first: `(n, dim)`; at least two.
        second: `(m, dim)`; at least two.
        seed: Of the samples that are drawn from large sets, and of the folds.
    """
    accuracy = domain_accuracy(first, second, seed)
    return Distances(
        mmd(first, second, seed), a_distance(accuracy), frechet(first, second), accuracy
    )


def by_chance(first: Embeddings, second: Embeddings, seed: int = 0) -> Distances:
    """Return the distances of two sets of the same sizes, drawn from both sets together.

    They tell what the distances of the real sets would be if both were of one kind.
    """
    both = np.concatenate([first, second])
    order = np.random.default_rng(seed).permutation(len(both))
    return distances(both[order[: len(first)]], both[order[len(first) :]], seed)


def mmd(first: Embeddings, second: Embeddings, seed: int = 0) -> float:
    """Return the squared maximum mean discrepancy, estimated without bias.

    The kernel is the mean of Gaussians exp(-d² / (b m)), where m is the median of the squared
    distances d² of all pairs, and b one of `BANDWIDTHS`.

    Args:
        first: `(n, dim)`; at least two.
        second: `(m, dim)`; at least two.
        seed: Of the samples that are drawn from sets of more than 2,000.
    """
    parts = [_sample(one, seed).astype(np.float64) for one in (first, second)]
    both, count = np.concatenate(parts), len(parts[0])
    squares = np.square(both).sum(axis=1)
    far = np.maximum(squares[:, None] + squares - 2 * both @ both.T, 0)
    np.fill_diagonal(far, 0)
    median = float(np.median(far[np.triu_indices(len(both), 1)])) or 1.0
    kernel = sum(np.exp(-far / (width * median)) for width in BANDWIDTHS) / len(BANDWIDTHS)
    np.fill_diagonal(kernel, 0)
    own, others = kernel[:count, :count], kernel[count:, count:]
    other = len(both) - count
    return float(
        own.sum() / (count * (count - 1))
        + others.sum() / (other * (other - 1))
        - 2 * kernel[:count, count:].mean()
    )


def frechet(first: Embeddings, second: Embeddings) -> float:
    """Return |a - b|² + tr(A + B - 2 (A B)^½) for means a, b and covariances A, B.

    Args:
        first: `(n, dim)`; at least two.
        second: `(m, dim)`; at least two.
    """
    means: list[Floats] = []
    roots: list[Floats] = []
    for one in (first, second):
        vectors = one.astype(np.float64)
        means.append(vectors.mean(axis=0))
        # A = R^T R.
        spread_out = (vectors - means[-1]) / np.sqrt(len(one) - 1)
        roots.append(np.asarray(np.linalg.qr(spread_out, mode="r")))
    # The trace of (A B)^½ is the sum of the singular values of R S^T.
    shared = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    spread = sum(np.square(root).sum() for root in roots)
    return float(np.square(means[0] - means[1]).sum() + spread - 2 * shared)


def a_distance(accuracy: float) -> float:
    """Return the proxy A-distance 2 (1 - 2 err), at least 0, of a domain classifier's accuracy."""
    return max(0.0, 2 * (1 - 2 * (1 - accuracy)))


def domain_accuracy(first: Embeddings, second: Embeddings, seed: int = 0) -> float:
    """Return how well a linear classifier tells two sets apart, from cross-validation.

    Returns:
        The mean over both sets of the share that it is right on: one half where it cannot.
    """
    right = domain_likelihoods(first, second, seed) > np.log(0.5)
    return float((right[: len(first)].mean() + right[len(first) :].mean()) / 2)


def domain_gap(first: Embeddings, second: Embeddings, seed: int = 0) -> float:
    """Return by how many nats a linear classifier beats chance at telling two sets apart.

    Returns:
        From 0, not at all, to log 2, always and surely; both sets count the same.
    """
    found = domain_likelihoods(first, second, seed)
    loss = -(found[: len(first)].mean() + found[len(first) :].mean()) / 2
    return max(0.0, float(np.log(2) - loss))


def domain_likelihoods(first: Embeddings, second: Embeddings, seed: int = 0) -> Floats:
    """Return the log-probability `(n + m,)` of each one's own set, by logistic regression.

    It is given by up to five classifiers, each of which did not learn from it.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    both = np.concatenate([first, second]).astype(np.float64)
    both -= both.mean(axis=0)
    both /= max(float(both.std()), MIN_DEVIATION)
    sets = np.repeat([0, 1], [len(first), len(second)])
    found = np.empty(len(both))
    count = min(MAX_FOLDS, len(first), len(second))
    splits = StratifiedKFold(count, shuffle=True, random_state=seed)
    with single_threaded():
        for training, held_out in splits.split(both, sets):
            classifier = LogisticRegression(C=C, class_weight="balanced", max_iter=1000)
            classifier.fit(both[training], sets[training])
            margins = classifier.decision_function(both[held_out])
            found[held_out] = -np.logaddexp(0, np.where(sets[held_out] == 1, -margins, margins))
    return found


def _sample(vectors: Embeddings, seed: int) -> Embeddings:
    if len(vectors) <= MAX_IMAGES:
        return vectors
    rows = np.random.default_rng(seed).permutation(len(vectors))[:MAX_IMAGES]
    return vectors[np.sort(rows)]
