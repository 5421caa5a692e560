"""How likely an image is a match: P(match), from the query and its score alone.

Cosines cannot be compared between queries: "a dog" scores higher with any photo than "entropy" with
the best one. So each query gets a boundary of its own, and P(match) is a logistic function of how
far a score lies above it. The boundary is a linear function of how the query scores with a fixed
set of photos, of anything, and with a bank of 1,000 captions of everything. It does not depend on
what a collection holds, so what most of a user's photos show is no weaker a match for that, and
P(match) rises with the score. Labels, which are compared with each other, have one for all.

All is measured in the usual spread of scores between the captions and the photos, so that the
coefficients, fitted on captioned photos (`scripts/relevance.py`), hold for models whose cosines are
larger or smaller. A model without photos takes that spread from a collection's first ones, and
nothing else: what else they would say of a query is what the collection happens to hold.
docs/decisions/0012-relevance.md has the reasons and the figures.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.bundles.bundle import BANK, REFERENCE, WITHOUT_PHOTOS, Bundle
from indexer.bundles.checksums import require_intact
from indexer.encoder import BundleEncoder, Embeddings, Encoder
from indexer.model_name import BUILT_IN_FOLDER
from indexer.store.codec import Scores

# How a query's scores with photos are described beside their mean and deviation.
QUANTILES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.997)
# How sharply captions like the query are told from others, as they are counted.
SHARPNESS = (1, 3, 9)
# Each this many-th caption says how scores are spread in general; and each such photo, of many.
SPREAD_STEP = 4
SPREAD_FROM = 500
# How many of a collection's first photos are chosen, from how many.
DIVERSE = 256
CANDIDATES = 1024
# Smaller deviations are rounding noise.
MIN_SPREAD = 1e-6
# Digits of an estimate: more would be noise.
DIGITS = 4

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Boundary:
    """P(match) of the scores of one query, or of several.

    Args:
        offsets: Of the logit, for each query.
        slope: How the logit rises with the score.
    """

    offsets: Floats
    slope: float

    def probability(self, scores: Scores) -> Floats:
        """Return the estimates for scores `(..., queries)`, or `(...)` with one query's."""
        logits = self.offsets + self.slope * scores.astype(np.float64)
        shares: Floats = 1 / (1 + np.exp(-np.clip(logits, -60, 60)))
        return shares.round(DIGITS)

    def score_at(self, probability: float) -> Floats:
        """Return the least scores whose estimate, as rounded, is this probability or more."""
        steps = max(math.ceil(round(probability * 10**DIGITS, 6)), int(probability > 0))
        exact = (steps - 0.5) / 10**DIGITS
        if exact <= 0:
            return np.full_like(self.offsets, -np.inf)
        if exact >= 1:
            return np.full_like(self.offsets, np.inf)
        least: Floats = (np.log(exact / (1 - exact)) - self.offsets) / self.slope
        return least

    def score_above(self, probability: float) -> Floats:
        """Return the least scores whose estimate, as rounded, is more than this probability."""
        steps = math.floor(round(probability * 10**DIGITS, 6))
        return self.score_at((steps + 1) / 10**DIGITS)


class Estimator:
    """The estimate of P(match) of a model.

    Args:
        bank: Vectors `(captions, dim)` of captions of everything.
        photos: Vectors `(n, dim)` of photos of anything.
        coefficients: Of the logistic regressions, by kind of query: an intercept, and the weights
            of the score and, except for labels, of what `describe` says of the query; and, by
            the same kinds in WITHOUT_PHOTOS, of what it says by captions alone.
        are_own: Whether the photos are a collection's own, which give no more than the spread.
    """

    def __init__(
        self,
        bank: Embeddings,
        photos: Embeddings,
        coefficients: Mapping[str, Any],
        *,
        are_own: bool = False,
    ) -> None:
        self.bank = bank
        self.photos = photos
        self.coefficients = (
            {**coefficients, **coefficients[WITHOUT_PHOTOS]} if are_own else coefficients
        )
        self.photos_are_own = are_own
        self._ahead: dict[bytes, Floats] = {}

    @classmethod
    def of(
        cls, model: Encoder | Bundle, photos: Callable[[int], Embeddings] | None = None
    ) -> "Estimator | None":
        """Return the estimator of an encoder or a bundle, or None if it has none.

        Args:
            model: The encoder or the bundle.
            photos: Returns about as many vectors `(n, dim)` of a user's photos as it is asked for,
                for a model that comes without.

        Raises:
            BundleError: The captions' vectors, or the photos', are damaged.
        """
        if isinstance(model, BundleEncoder):
            model = model.bundle
        if not isinstance(model, Bundle) or model.bank is None:
            return None
        require_intact(model, BANK)
        usual = model
        if not model.relevance or model.reference is None:
            usual = Bundle.load(BUILT_IN_FOLDER)
        coefficients = usual.relevance | model.relevance
        # What was derived from the built-in model by an earlier version came without photos.
        source = usual if model.reference is None and usual.fingerprint in _bases(model) else model
        if source.reference is not None:
            require_intact(source, REFERENCE)
            return cls(model.bank, source.reference, coefficients)
        own = photos(CANDIDATES) if photos is not None else None
        if own is None or not len(own):
            return None
        return cls(model.bank, diverse(own), coefficients, are_own=True)

    def boundary(self, kind: str, queries: Embeddings) -> Boundary:
        """Return where the matches of queries begin.

        Args:
            kind: What the queries are: "text", "image", "mixed" or "label".
            queries: Their vectors `(n, dim)`, or one `(dim,)`.
        """
        intercept, slope, *weights = self.coefficients[kind]
        middle, spread = self._scale
        several = np.atleast_2d(queries)
        offsets = np.full(len(several), intercept - slope * middle / spread)
        if weights:
            known = self._ahead.pop(queries.tobytes(), None) if self._ahead else None
            described = self.describe(several) if known is None else known[np.newaxis]
            offsets += described @ np.asarray(weights)
        return Boundary(offsets[0] if queries.ndim == 1 else offsets, slope / spread)

    def describe_ahead(self, queries: Embeddings) -> None:
        """Describe queries `(n, dim)` whose boundaries are asked for next, one by one.

        One by one, each would have all photos and captions read from memory again.
        """
        self._ahead = {
            query.tobytes(): known
            for query, known in zip(queries, self.describe(queries), strict=True)
        }

    def standard(self, scores: Scores | Floats) -> Floats:
        """Return scores of any shape in the spread that is usual between captions and photos."""
        middle, spread = self._scale
        standard: Floats = (scores.astype(np.float64) - middle) / spread
        return standard

    def describe(self, queries: Embeddings) -> Floats:
        """Describe queries `(n, dim)` by their scores with photos and captions, `(n, 12)`.

        They are the mean, the deviation and quantiles of the scores with photos, and how many
        captions of everything are like the query, counted more and less sharply. Where the photos
        are a collection's own it is only the latter, `(n, 3)`.
        """
        columns = [] if self.photos_are_own else self._among_photos(queries)
        middle, spread = self._captions_scale
        likeness = (queries @ self.bank.T - middle) / spread
        most = likeness.max(axis=1)
        shares = np.exp(likeness - most[:, np.newaxis])
        for sharpness in SHARPNESS:
            sharp = shares**sharpness
            columns.append(most + np.log(sharp.mean(axis=1)) / sharpness)
        return np.stack(columns, axis=1).astype(np.float64)

    def _among_photos(self, queries: Embeddings) -> list[Floats]:
        scores = np.sort(queries @ self.photos.T, axis=1)
        below, above, part = self._places
        quantiles = scores[:, below] * (1 - part) + scores[:, above] * part
        return [
            self.standard(scores.mean(axis=1)),
            scores.std(axis=1) / self._scale[1],
            *self.standard(quantiles).T,
        ]

    @cached_property
    def _places(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
        """Between which of the sorted scores the quantiles lie, and how far from the lower."""
        exact = np.array(QUANTILES) * (len(self.photos) - 1)
        below = exact.astype(np.int64)
        return below, np.minimum(below + 1, len(self.photos) - 1), exact - below

    @cached_property
    def _scale(self) -> tuple[float, float]:
        """The mean of the scores of captions with photos, and a caption's mean deviation."""
        step = SPREAD_STEP if len(self.photos) > SPREAD_FROM else 1
        scores = self.bank[::SPREAD_STEP] @ self.photos[::step].T
        spread = float(scores.std(axis=1).mean())
        if self.photos_are_own:  # one photo, or equal ones, would have none
            spread = max(spread, 0.5 * float(scores.std()))
        return float(scores.mean()), max(spread, MIN_SPREAD)

    @cached_property
    def _captions_scale(self) -> tuple[float, float]:
        """The same of the captions with each other."""
        some = self.bank[::SPREAD_STEP]
        scores = some @ some.T
        apart = scores[~np.eye(len(some), dtype=bool)].reshape(len(some), -1)
        return float(apart.mean()), max(float(apart.std(axis=1).mean()), MIN_SPREAD)


def diverse(vectors: Embeddings) -> Embeddings:
    """Return DIVERSE of the vectors `(n, dim)`, each as unlike those before it as there is one.

    So a collection that is full of one thing has no more of it among them than a mixed one.
    """
    if len(vectors) <= DIVERSE:
        return vectors
    chosen = [int((vectors @ vectors.mean(axis=0)).argmax())]
    nearest = vectors @ vectors[chosen[0]]
    while len(chosen) < DIVERSE:
        chosen.append(int(nearest.argmin()))
        np.maximum(nearest, vectors @ vectors[chosen[-1]], out=nearest)
    return vectors[chosen]


def _bases(bundle: Bundle) -> list[str]:
    """Return the fingerprints of the models that a bundle was derived from, as far as it says."""
    return [str(one["base"]) for one in (bundle.quantized, bundle.tuned) if "base" in one]
