"""How likely a hit is a match: P(match) from two standard scores.

Cosines cannot be compared between queries, nor between images. So the estimate looks at (a) how far
a hit's score lies above the scores of that image with a fixed bank of 1,000 captions of everything,
and (b) how far it lies above the query's scores over the collection, which says little in a small
collection and is weighted with `n / (n + 200)`. A logistic regression on the two, fitted on
captioned photos (`scripts/relevance.py`), gives the estimate.

(a) is a z-score variant of querybank normalisation: Bogolin et al., Cross Modal Retrieval with
Querybank Normalisation, CVPR 2022.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from indexer.bundles.bundle import BANK, Bundle
from indexer.bundles.checksums import require_intact
from indexer.encoder import BundleEncoder, Embeddings, Encoder
from indexer.store.codec import Scores

if TYPE_CHECKING:
    from indexer.store.vector_index import Spread

# Number of images at which (b) counts half.
HALF_WEIGHT = 200
# Smaller deviations are rounding noise, as in a collection of one image, or of equal ones.
MIN_DEVIATION = 1e-6

Floats = NDArray[np.float64]


class Background:
    """The scores of images with captions that have nothing to do with the query.

    Args:
        bank: Unit vectors `(captions, dim)`.
    """

    def __init__(self, bank: Embeddings) -> None:
        self.bank = bank
        self._seen = 0
        self._moments: tuple[Embeddings, Embeddings] | None = None

    def standard(self, scores: Scores, vectors: Embeddings) -> Floats:
        """Return scores in standard deviations above each image's mean over the bank.

        Args:
            scores: `(m,)` or `(m, k)`.
            vectors: The images' vectors `(m, dim)`.
        """
        mean, variance = self._usual(vectors)
        deviation = np.sqrt(np.maximum(variance, MIN_DEVIATION**2))
        if scores.ndim == 2:
            mean, deviation = mean[:, np.newaxis], deviation[:, np.newaxis]
        standard: Floats = (scores - mean) / deviation
        return standard

    def _usual(self, vectors: Embeddings) -> tuple[Floats, Floats]:
        """Return the mean and variance `(m,)` of each image's scores with the captions.

        The bank's own mean and covariance give the same with half the work. They are computed once
        they would have paid off, so that a single search never waits for them.
        """
        captions, dim = self.bank.shape
        self._seen += len(vectors)
        if self._moments is None and self._seen > dim:
            middle = self.bank.mean(axis=0)
            apart = self.bank - middle
            self._moments = middle, apart.T @ apart / np.float32(captions)
        if self._moments is not None:
            middle, covariance = self._moments
            variance = np.einsum("nd,nd->n", vectors @ covariance, vectors)
            return (vectors @ middle).astype(np.float64), variance.astype(np.float64)
        usual = vectors @ self.bank.T
        mean = usual.sum(axis=1, dtype=np.float64) / captions
        squares = np.einsum("nc,nc->n", usual, usual).astype(np.float64) / captions
        return mean, squares - mean**2


class Estimator:
    """The estimate of P(match) of a model.

    Args:
        bank: Vectors `(captions, dim)` of captions of everything.
        coefficients: Of the logistic regressions, by kind of query.
    """

    def __init__(self, bank: Embeddings, coefficients: Mapping[str, Any]) -> None:
        self.background = Background(bank)
        self.coefficients = coefficients

    @classmethod
    def of(cls, model: Encoder | Bundle) -> "Estimator | None":
        """Return the estimator of an encoder or a bundle, or None if it has none.

        Raises:
            BundleError: The captions' vectors are damaged.
        """
        if isinstance(model, BundleEncoder):
            model = model.bundle
        if not isinstance(model, Bundle) or not model.relevance or model.bank is None:
            return None
        require_intact(model, BANK)
        return cls(model.bank, model.relevance)

    def hits(self, kind: str, scores: Scores, vectors: Embeddings, spread: "Spread") -> Floats:
        """Estimate P(match) of hits.

        Args:
            kind: Kind of the query: "text", "image" or "mixed".
            scores: The hits' scores `(m,)`.
            vectors: Their vectors `(m, dim)`.
            spread: Spread of the query's scores over the collection.

        Returns:
            The estimates `(m,)`.
        """
        x = features(scores, vectors, self.background, spread)
        return _probability(x, self.coefficients[kind])

    def labels(self, scores: Scores, vectors: Embeddings) -> Floats:
        """Estimate for images with `scores` `(m, labels)` that the best label fits.

        Returns:
            The estimates `(m,)`.
        """
        x = label_features(scores, vectors, self.background)
        return _probability(x, self.coefficients["label"])


def features(
    scores: Scores,
    vectors: Embeddings,
    background: Background,
    spread: "Spread",
) -> Floats:
    """Return (a), weighted (b), and the weight itself, `(m, 3)`, for hits with `scores` `(m,)`."""
    weight = spread.count / (spread.count + HALF_WEIGHT)
    above: Floats = np.zeros(len(scores))
    if spread.deviation > MIN_DEVIATION:
        above = (scores.astype(np.float64) - spread.mean) / spread.deviation
    columns = (background.standard(scores, vectors), weight * above, np.full(len(scores), weight))
    return np.stack(columns, axis=1)


def label_features(scores: Scores, vectors: Embeddings, background: Background) -> Floats:
    """Return (a) of each image's best label and the logarithm of the number of labels, `(m, 2)`.

    The best score of many labels is high by chance.

    Args:
        scores: `(m, labels)`.
        vectors: The images' vectors `(m, dim)`.
        background: Scores with captions of everything.
    """
    best = background.standard(scores.max(axis=1), vectors)
    return np.stack([best, np.full(len(scores), np.log(scores.shape[1]))], axis=1)


def _probability(x: Floats, coefficients: Sequence[float]) -> Floats:
    """Return the logistic function of `x` `(m, k)`; coefficients: intercept, then k weights."""
    logits = coefficients[0] + x @ np.asarray(coefficients[1:])
    shares: Floats = 1 / (1 + np.exp(-np.clip(logits, -60, 60)))
    return shares
