"""Fit a bundle's estimate of P(match) on captioned photos.

    python scripts/relevance.py BUNDLE_FOLDER PATH/TO/flickr8k/train.jsonl

A thousand photos become the bundle's reference, and the others the examples. A query is a concept
of concepts.txt; each of its lines holds the query and words that say the same or imply it, then,
after a slash, words that may go with it. A photo matches if two captions or more use a word before
the slash, does not match if no caption uses any of the words, and is left out otherwise. The best
hits among a thousand photos are the examples, with the matching photos among them and without.

The model has seen the photos in training, and tells what they show better than it would with
others. So each is mixed with another photo first, by UNSEEN of its deviation from the mean. Photos
of Caltech-101 (train) and PACS (photo) chose that share, the weights below and what `describe`
says; docs/decisions/0012-relevance.md has the figures.
"""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

sys.path.insert(0, str(Path(__file__).parents[1]))

from indexer.bundles.bundle import REFERENCE, WITHOUT_PHOTOS, Bundle
from indexer.bundles.checksums import digests
from indexer.encoder import Embeddings, unit
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.store.codec import Scores
from search.labels.zero_shot import DEFAULT_TEMPLATES, class_vectors
from search.ranking.image_query import encode_image_files
from search.ranking.relevance import SHARPNESS, Estimator

CONCEPTS = Path(__file__).parent / "concepts.txt"
TEMPLATES = ("{}", "a {}", "a photo of a {}")
# Photos of the reference.
REFERENCE_PHOTOS = 1000
# Photos that a query is looked for in; its best hits, and some of the others, are examples.
SIZE = 1000
TOP = 50
OTHERS = 25
# By how much of another photo's deviation from the mean each photo is changed.
UNSEEN = 0.85
# How much an example counts where the concept's photos, or the label that fits, were taken out.
ABSENT = 0.3
# Between these shares of the photos, concepts count alike in sum, raised to EVENNESS.
BANDS = (0.01, 0.1, 0.5)
EVENNESS = 0.5
MIN_PHOTOS = 20
LABEL_SETS = (2, 5, 20, 60)
QUERIES = 400

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
Examples = Iterator[tuple[Floats, Mask, Floats]]
"""What is known of hits `(m, 13)` or labels `(m, 1)`; whether they match; how much each counts."""


@dataclass(frozen=True)
class Concept:
    """A query, words that imply it in a caption, and words that leave it open."""

    name: str
    implying: frozenset[str]
    related: frozenset[str]

    @classmethod
    def of(cls, line: str) -> "Concept":
        """Return the concept of a line of concepts.txt."""
        implying, _, related = (part.split() for part in line.partition("/"))
        return cls(implying[0], frozenset(implying), frozenset(related))


@dataclass(frozen=True)
class Photos:
    """Photos and what their captions say.

    Attributes:
        vectors: `(n, dim)`.
        match: Photos that certainly show a concept, `(concepts, n)`.
        none: Photos that certainly do not, `(concepts, n)`.
    """

    vectors: Embeddings
    match: Mask
    none: Mask

    def at(self, rows: NDArray[np.int64]) -> "Photos":
        """Return some of the photos."""
        return Photos(self.vectors[rows], self.match[:, rows], self.none[:, rows])

    @property
    def shares(self) -> Floats:
        """How many of the photos for which it is certain show each concept, `(concepts,)`."""
        certain = np.maximum(self.match.sum(axis=1) + self.none.sum(axis=1), 1)
        shares: Floats = self.match.sum(axis=1) / certain
        return shares


def main(folder: str, captions: str) -> None:
    """Fit the estimate, and save it with the reference."""
    bundle = Bundle.load(Path(folder))
    encoder = OnnxEncoder(bundle, threads=1)
    concepts = read_concepts()
    reference, photos = split(read_photos(encoder, Path(captions), concepts))
    file = Path(folder) / REFERENCE
    np.save(file, reference.vectors.astype("<f2"), allow_pickle=False)
    fit = Fit(encoder, concepts, photos, unit(np.load(file)))
    fitted: dict[str, Any] = {"fitted_on": f"{bundle.name}, {Path(captions).parent.name} train"}
    fitted |= fit.coefficients(fit.common)
    made = replace(bundle, relevance=fitted)
    replace(made, checksums=digests(made)).save()
    sys.stdout.write(json.dumps(fitted, indent=1) + "\n")


def read_concepts() -> list[Concept]:
    """Return the concepts of concepts.txt."""
    return [Concept.of(line) for line in CONCEPTS.read_text(encoding="utf-8").splitlines()]


def read_photos(encoder: OnnxEncoder, captions: Path, concepts: Sequence[Concept]) -> Photos:
    """Read the photos of a JSONL file of `{"image", "captions"}`, and what they show."""
    rows = [json.loads(line) for line in captions.read_text(encoding="utf-8").splitlines()]
    vectors = encode_image_files(encoder, [captions.parent / row["image"] for row in rows])
    words = [[set(re.findall("[a-z]+", c.lower())) for c in row["captions"]] for row in rows]

    def uses(photo: list[set[str]], wanted: frozenset[str]) -> int:
        return sum(not caption.isdisjoint(wanted) for caption in photo)

    match = [[uses(photo, one.implying) >= 2 for photo in words] for one in concepts]
    some = [one.implying | one.related for one in concepts]
    none = [[not uses(photo, wanted) for photo in words] for wanted in some]
    return Photos(vectors, np.array(match), np.array(none))


def split(photos: Photos) -> tuple[Photos, Photos]:
    """Return the photos of the reference, and those of the examples, which are made unseen."""
    random = np.random.default_rng(5)
    rows = random.permutation(len(photos.vectors))
    reference, rest = photos.at(rows[:REFERENCE_PHOTOS]), photos.at(rows[REFERENCE_PHOTOS:])
    others = rest.vectors[random.permutation(len(rest.vectors))]
    mixed = unit(rest.vectors + UNSEEN * (others - rest.vectors.mean(axis=0)))
    return reference, replace(rest, vectors=mixed)


class Fit:
    """Fits the estimate to some of the concepts.

    Args:
        encoder: Encodes the queries.
        concepts: All concepts.
        photos: The photos of the examples, and which of them show each concept.
        reference: Vectors `(n, dim)` of the reference's photos.
    """

    def __init__(
        self,
        encoder: OnnxEncoder,
        concepts: Sequence[Concept],
        photos: Photos,
        reference: Embeddings,
    ) -> None:
        assert encoder.bundle.bank is not None
        self.photos = photos
        self.bank, self.reference = encoder.bundle.bank, reference
        self.estimator = Estimator(self.bank, reference, {})
        names = [one.name for one in concepts]
        texts = encoder.encode_texts([one.format(name) for name in names for one in TEMPLATES])
        self.texts = texts.reshape(len(names), len(TEMPLATES), -1)
        self.labels = class_vectors(encoder, names, DEFAULT_TEMPLATES)
        # Concepts of which there are enough photos to learn from.
        self.common = np.flatnonzero(photos.match.sum(axis=1) >= MIN_PHOTOS)

    def coefficients(self, concepts: NDArray[np.int64]) -> dict[str, Any]:
        """Return the coefficients for each kind of query, fitted to these of the concepts."""
        fitted: dict[str, Any] = {}
        without_photos = fitted[WITHOUT_PHOTOS] = {}
        for kind, examples in (
            ("text", self._texts(concepts)),
            ("image", self._images(concepts)),
            ("mixed", self._mixed(concepts)),
            ("label", self._labels(concepts)),
        ):
            x, y, counts = (np.concatenate(part) for part in zip(*examples, strict=True))
            fitted[kind] = self._logistic(x, y, counts)
            if kind != "label":  # the score, and what captions say
                x = x[:, [0, *range(-len(SHARPNESS), 0)]]
                without_photos[kind] = self._logistic(x, y, counts)
        return fitted

    def estimate(self, concepts: NDArray[np.int64]) -> Estimator:
        """Return the estimator that these of the concepts make."""
        return Estimator(self.bank, self.reference, self.coefficients(concepts))

    def _logistic(self, x: Floats, y: Mask, counts: Floats) -> list[float]:
        middle, spread = x.mean(axis=0), x.std(axis=0)
        model = LogisticRegression(max_iter=2000)
        model.fit((x - middle) / spread, y, counts / counts.mean())
        weights = model.coef_[0] / spread
        intercept = float(model.intercept_[0] - middle @ weights)
        return [round(float(one), 4) for one in (intercept, *weights)]

    def _rows(self, query: Embeddings, scores: Scores) -> Floats:
        """Return what is known of hits: their scores, and what the query is like."""
        described = np.repeat(self.estimator.describe(query[np.newaxis]), len(scores), axis=0)
        return np.concatenate([self.estimator.standard(scores)[:, np.newaxis], described], axis=1)

    def _hits(
        self, query: Embeddings, match: Mask, none: Mask, weight: float, random: np.random.Generator
    ) -> Examples:
        """Yield the hits of one query, with matching photos there and without."""
        size = min(SIZE, len(self.photos.vectors))
        rows = random.choice(len(self.photos.vectors), size, replace=False)
        certain = rows[match[rows] | none[rows]]
        for chosen, counts in ((certain, weight), (certain[~match[certain]], weight * ABSENT)):
            scores = self.photos.vectors[chosen] @ query
            order = np.argsort(-scores)
            hits, rest = order[:TOP], order[TOP:]
            if counts == weight and len(rest):
                more = random.choice(rest, min(OTHERS, len(rest)), replace=False)
                hits = np.concatenate([hits, more])
            if len(hits):
                yield (
                    self._rows(query, scores[hits]),
                    match[chosen[hits]],
                    np.full(len(hits), counts),
                )

    def _weights(self, concepts: NDArray[np.int64]) -> dict[int, float]:
        """Return how much each concept counts."""
        bands = np.digitize(self.photos.shares, BANDS)
        number = np.bincount(bands[concepts], minlength=len(BANDS) + 1)
        return {one: (len(concepts) / number[bands[one]]) ** EVENNESS for one in concepts.tolist()}

    def _texts(self, concepts: NDArray[np.int64]) -> Examples:
        """Yield examples with each concept as a text query."""
        random = np.random.default_rng(0)
        for one, weight in self._weights(concepts).items():
            for query in self.texts[one]:
                match, none = self.photos.match[one], self.photos.none[one]
                yield from self._hits(query, match, none, weight, random)

    def _images(self, concepts: NDArray[np.int64]) -> Examples:
        """Yield examples with photos as queries: most of what it or a match shows, both show."""
        random = np.random.default_rng(1)
        shown, absent = self.photos.match[concepts], self.photos.none[concepts]
        rich = np.flatnonzero(shown.sum(axis=0) >= 2)
        for number in random.choice(rich, min(QUERIES, len(rich)), replace=False):
            own = shown[:, number]
            both = (shown & own[:, np.newaxis]).sum(axis=0)
            either = (shown | own[:, np.newaxis]).sum(axis=0)
            match: Mask = np.asarray(both / either >= 0.5)
            match[number] = False
            none: Mask = np.asarray(absent[own].all(axis=0))
            if match.sum() >= MIN_PHOTOS and none.sum() >= TOP:
                yield from self._hits(self.photos.vectors[number], match, none, 1.0, random)

    def _mixed(self, concepts: NDArray[np.int64]) -> Examples:
        """Yield examples with each concept together with a photo of it as the query."""
        random = np.random.default_rng(2)
        for one, weight in self._weights(concepts).items():
            matching = np.flatnonzero(self.photos.match[one])
            for chosen in random.choice(matching, min(4, len(matching)), replace=False):
                match = self.photos.match[one].copy()
                match[chosen] = False
                query = unit(self.texts[one, 0] + self.photos.vectors[chosen])
                yield from self._hits(query, match, self.photos.none[one], weight, random)

    def _labels(self, concepts: NDArray[np.int64]) -> Examples:
        """Yield the best label, and another, of photos among some of which one fits, or none."""
        random = np.random.default_rng(3)
        for photo in range(len(self.photos.vectors)):
            fitting = concepts[self.photos.match[concepts, photo]]
            foreign = concepts[self.photos.none[concepts, photo]]
            if not len(fitting) or len(foreign) < 2:
                continue
            size = LABEL_SETS[photo % len(LABEL_SETS)]
            others = random.choice(foreign, min(size, len(foreign)), replace=False)
            one_fits = np.append(others[:-1], random.choice(fitting))
            for labels, counts in ((one_fits, 1.0), (others, ABSENT)):
                scores = self.labels[labels] @ self.photos.vectors[photo]
                chosen = np.array([scores.argmax(), random.integers(len(labels))])
                rows = labels[chosen]
                yield (
                    self.estimator.standard(scores[chosen])[:, np.newaxis],
                    self.photos.match[rows, photo],
                    np.full(len(rows), counts),
                )


if __name__ == "__main__":
    main(*sys.argv[1:])
