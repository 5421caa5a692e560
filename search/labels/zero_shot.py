"""Zero-shot labels: which of some words fits an image best.

Each label is put into every prompt template, the vectors of the texts are averaged, and a softmax
over the cosines at the model's logit scale gives probabilities. Whether a label fits at all is a
separate question (`ranking/relevance.py`), since a softmax always finds one.

Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision,
2021, section 3.1.4.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from indexer.arguments import several, valid_text
from indexer.encoder import Embeddings, Encoder, logit_scale_of, name_of, require_unit, unit
from indexer.errors import QueryError
from search.ranking.relevance import DIGITS, Estimator

from .answer import Answer, LabelScore
from .heads import softmax

DEFAULT_TEMPLATES = ("a photo of a {}",)


class Labels(Protocol):
    """Anything that labels images by their vectors: a `Labeller`, or a head."""

    def best(self, vectors: Embeddings, top: int) -> list[Answer]:
        """Return the `top` best labels of each vector of `(n, dim)`, and P(none fits)."""


class Labeller:
    """A set of labels, ready to be compared with images."""

    def __init__(
        self,
        encoder: Encoder,
        labels: Sequence[str],
        templates: Sequence[str] = (),
        estimator: Estimator | None = None,
    ) -> None:
        """Encode the labels.

        Args:
            encoder: The encoder of the images' vectors.
            labels: Any words; empty ones and repetitions are dropped. A text is one label.
            templates: Captions with `{}` in place of the label; "a photo of a {}" if empty.
            estimator: Estimates whether a label fits; the encoder's own when None.

        Raises:
            QueryError: There are no labels, or a template has no place for them.
        """
        self.labels = list(
            dict.fromkeys(name for one in several(labels) if (name := valid_text(one).strip()))
        )
        if not self.labels:
            raise QueryError('no labels: name some with --labels "cat,dog" or --labels-file FILE')
        self.weights = class_vectors(encoder, self.labels, templates or DEFAULT_TEMPLATES)
        self.logit_scale = logit_scale_of(encoder)
        estimator = estimator or Estimator.of(encoder)
        self.boundary = None if estimator is None else estimator.boundary("label", self.weights)

    def probabilities(self, vectors: Embeddings) -> NDArray[np.float64]:
        """Return probabilities `(n, labels)` of unit vectors `(n, dim)`, each row summing to 1."""
        return self._shares(vectors @ self.weights.T)

    def _shares(self, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the softmax of cosines `(n, labels)` at the model's logit scale."""
        return softmax(scores.astype(np.float64), 1 / self.logit_scale)

    def best(self, vectors: Embeddings, top: int) -> list[Answer]:
        """Return the best labels of each vector.

        Args:
            vectors: `(n, dim)`, of unit norm.
            top: How many labels each vector gets.

        Returns:
            For each vector, its labels with the best first, and the probability that none fits:
            what the most relevant of all labels leaves. The probabilities of all labels sum to 1.
        """
        scores = vectors @ self.weights.T
        shares = self._shares(scores)
        order = np.argsort(-shares, axis=1, kind="stable")[:, :top]
        fits: NDArray[np.float64] | None = None
        none: list[float | None] = [None] * len(vectors)
        if self.boundary is not None:
            fits = self.boundary.probability(scores)
            none = (1 - fits.max(axis=1)).round(DIGITS).tolist()

        def score(row: int, column: int) -> LabelScore:
            fit = None if fits is None else float(fits[row, column])
            return LabelScore(self.labels[column], float(shares[row, column]), fit)

        return [
            Answer(tuple(score(row, column) for column in best), rejected)
            for row, (best, rejected) in enumerate(zip(order.tolist(), none, strict=True))
        ]


def class_vectors(encoder: Encoder, labels: Sequence[str], templates: Sequence[str]) -> Embeddings:
    """Return a vector for each label: the mean over the templates, brought to unit norm.

    Args:
        encoder: Encodes the texts.
        labels: The labels.
        templates: Captions with `{}` in place of the label.

    Returns:
        `(labels, dim)`.

    Raises:
        QueryError: A template has no place for the label.
        VectorsError: What the encoder gives are no unit vectors.
    """
    labels, templates = several(labels), several(templates)
    for template in templates:
        if "{}" not in template:
            raise QueryError(f"the template {template!r} has no {{}} where the label goes")
    texts = [template.replace("{}", label) for label in labels for template in templates]
    vectors = require_unit(encoder.encode_texts(texts), len(texts), encoder.dim, name_of(encoder))
    return unit(vectors.reshape(len(labels), len(templates), -1).mean(axis=1))
