"""Zero-shot labels: which of these words fits an image best.

Each label is written into every prompt template, the texts' vectors are averaged, and a softmax
over the cosines at the model's logit scale gives probabilities. Whether any label fits at all is a
question of its own (`relevance.py`): a softmax always finds one.
Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision,
2021, section 3.1.4.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from indexer.encoder import Embeddings, Encoder, logit_scale_of, unit
from indexer.errors import QueryError
from search.ranking.relevance import Estimator

from .heads import softmax

DEFAULT_TEMPLATES = ("a photo of a {}",)
# open_clip's own starting point, exp(ln(1 / 0.07)); for encoders that do not say theirs.


Answer = tuple[tuple[tuple[str, float], ...], float | None]
"""An image's best labels with their probabilities, and the probability that none fits."""


class Labels(Protocol):
    """What names images by their vectors: a `Labeller`, or a head."""

    def best(self, vectors: Embeddings, top: int) -> list[Answer]:
        """For each of `(n, dim)` its `top` best labels, best first, and P(none fits)."""


class Labeller:
    """A set of labels, ready to be compared with images."""

    def __init__(
        self, encoder: Encoder, labels: Sequence[str], templates: Sequence[str] = ()
    ) -> None:
        """templates: with `{}` where the label goes. Raises QueryError for none or a bad one."""
        self.labels = list(dict.fromkeys(label.strip() for label in labels if label.strip()))
        if not self.labels:
            raise QueryError('no labels: name some with --labels "cat,dog" or --labels-file FILE')
        self.weights = class_vectors(encoder, self.labels, templates or DEFAULT_TEMPLATES)
        self.logit_scale = logit_scale_of(encoder)
        self.estimator = Estimator.of(encoder)

    def probabilities(self, vectors: Embeddings) -> NDArray[np.float64]:
        """`(n, dim)` unit vectors to `(n, labels)`, each row summing to 1."""
        return self._shares(vectors @ self.weights.T)

    def _shares(self, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        """The softmax of cosines `(n, labels)` at the model's logit scale."""
        return softmax(scores.astype(np.float64), 1 / self.logit_scale)

    def best(self, vectors: Embeddings, top: int) -> list[Answer]:
        """For each vector its `top` best labels with probabilities, best first, and P(none fits).

        The labels' probabilities sum to 1 over all labels: they say which, if any.
        """
        scores = vectors @ self.weights.T
        shares = self._shares(scores)
        order = np.argsort(-shares, axis=1, kind="stable")[:, :top]
        none: list[float | None] = [None] * len(vectors)
        if self.estimator is not None:
            fits = self.estimator.labels(scores, vectors)
            none = (1 - fits).round(4).tolist()
        return [
            (tuple((self.labels[column], float(row[column])) for column in columns), rejected)
            for row, columns, rejected in zip(shares, order, none, strict=True)
        ]


def class_vectors(encoder: Encoder, labels: Sequence[str], templates: Sequence[str]) -> Embeddings:
    """`(labels, dim)`: the unit mean of each label's unit vectors over the templates."""
    for template in templates:
        if "{}" not in template:
            raise QueryError(f"the template {template!r} has no {{}} where the label goes")
    texts = [template.replace("{}", label) for label in labels for template in templates]
    vectors = encoder.encode_texts(texts)
    return unit(vectors.reshape(len(labels), len(templates), -1).mean(axis=1))
