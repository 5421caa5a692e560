"""Fit a bundle's estimate of P(match) on captioned photos.

    python scripts/relevance.py BUNDLE_FOLDER PATH/TO/flickr8k/train.jsonl

The coefficients go into the bundle's manifest; `search/ranking/relevance.py` says what they
multiply. A query is a concept of concepts.txt (each line: the query, then words that a caption may
use for it). A photo matches if two captions or more use the query's own word, does not match if no
caption uses any of the words, and is left out otherwise. Collections of several sizes are sampled
with and without matching photos, and the best hits in them are the examples.
"""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

sys.path.insert(0, str(Path(__file__).parents[1]))

from indexer.bundles.bundle import Bundle
from indexer.encoder import Embeddings, unit
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.store.vector_index import Spread
from search.labels.zero_shot import DEFAULT_TEMPLATES, class_vectors
from search.ranking.image_query import encode_image_files
from search.ranking.relevance import Background, features, label_features

CONCEPTS = Path(__file__).parent / "concepts.txt"
SIZES = (12, 50, 200, 1000, 4000)
TEMPLATES = ("{}", "a {}", "a photo of a {}")
TOP = 5
MIN_PHOTOS = 5
LABEL_SETS = (2, 5, 20, 60)
QUERIES = 400

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Photos:
    """Photos and what their captions say.

    Attributes:
        vectors: `(n, dim)`.
        names: The concepts.
        match: Photos that certainly show a concept, `(concepts, n)`.
        none: Photos that certainly do not, `(concepts, n)`.
    """

    vectors: Embeddings
    names: list[str]
    match: Mask
    none: Mask


def main(folder: str, captions: str) -> None:
    """Fit the estimate, print how well it separates the data of the fit, and save it."""
    bundle = Bundle.load(Path(folder))
    encoder = OnnxEncoder(bundle, threads=1)
    assert encoder.bundle.bank is not None
    photos = read(encoder, Path(captions))
    background = Background(encoder.bundle.bank)
    fitted: dict[str, Any] = {"fitted_on": f"{bundle.name}, {Path(captions).parent.name} train"}
    for name, examples in (
        ("text", text_examples(encoder, photos, background)),
        ("image", image_examples(photos, background)),
        ("mixed", mixed_examples(encoder, photos, background)),
        ("label", label_examples(encoder, photos, background)),
    ):
        rows = list(examples)
        x = np.concatenate([row[0] for row in rows])
        y = np.concatenate([row[1] for row in rows])
        model = LogisticRegression(C=1e6, max_iter=1000).fit(x, y)
        fitted[name] = [round(float(v), 4) for v in (*model.intercept_, *model.coef_[0])]
        right = np.mean((model.predict_proba(x)[:, 1] >= 0.5) == y)
        sys.stdout.write(f"{name}: {fitted[name]}, {len(y):,} examples, {right:.1%} right\n")
    replace(bundle, relevance=fitted).save()


def read(encoder: OnnxEncoder, captions: Path) -> Photos:
    """Read the photos of a JSONL file of `{"image", "captions"}`, and what they show."""
    rows = [json.loads(line) for line in captions.read_text(encoding="utf-8").splitlines()]
    paths = [captions.parent / row["image"] for row in rows]
    words = [[set(re.findall("[a-z]+", c.lower())) for c in row["captions"]] for row in rows]
    concepts = [line.split() for line in CONCEPTS.read_text(encoding="utf-8").splitlines()]
    match = np.array([[_uses(photo, c[:1]) >= 2 for photo in words] for c in concepts])
    none = np.array([[_uses(photo, c) == 0 for photo in words] for c in concepts])
    common = match.sum(axis=1) >= MIN_PHOTOS
    names = [c[0] for c, kept in zip(concepts, common, strict=True) if kept]
    return Photos(encode_image_files(encoder, paths), names, match[common], none[common])


def _uses(captions: list[set[str]], words: list[str]) -> int:
    wanted = {*words, words[0] + "s"}
    return sum(bool(caption & wanted) for caption in captions)


Examples = Iterator[tuple[Floats, Mask]]


def _collections(
    query: Embeddings, photos: Photos, background: Background, match: Mask, none: Mask, seed: int
) -> Examples:
    """Yield the best hits of one query in collections of each size, with and without matches."""
    random = np.random.default_rng(seed)
    matching, others = np.flatnonzero(match), np.flatnonzero(none)
    for size in SIZES:
        wanted = max(1, round(size * len(matching) / len(match)))
        some = random.choice(matching, min(wanted, len(matching)), replace=False)
        rest = random.choice(others, min(size - len(some), len(others)), replace=False)
        without = random.choice(others, min(size, len(others)), replace=False)
        for chosen in (np.concatenate([some, rest]), without):
            scores = photos.vectors[chosen] @ query
            best = np.argsort(-scores)[:TOP]
            spread = Spread(float(scores.mean()), float(scores.std()), len(chosen))
            x = features(scores[best], photos.vectors[chosen[best]], background, spread)
            yield x, match[chosen[best]]
    if len(matching) >= SIZES[0]:  # a collection where everything matches
        chosen = random.choice(matching, SIZES[0], replace=False)
        scores = photos.vectors[chosen] @ query
        spread = Spread(float(scores.mean()), float(scores.std()), len(chosen))
        yield features(scores, photos.vectors[chosen], background, spread), match[chosen]


def text_examples(encoder: OnnxEncoder, photos: Photos, background: Background) -> Examples:
    """Yield examples with each concept as a text query."""
    for number, name in enumerate(photos.names):
        queries = encoder.encode_texts([template.format(name) for template in TEMPLATES])
        for turn, query in enumerate(queries):
            seed = number * len(TEMPLATES) + turn
            yield from _collections(
                query, photos, background, photos.match[number], photos.none[number], seed
            )


def image_examples(photos: Photos, background: Background) -> Examples:
    """Yield examples with photos as queries; a photo matches if most of what both show agrees."""
    random = np.random.default_rng(1)
    rich = np.flatnonzero(photos.match.sum(axis=0) >= 2)
    for number in random.choice(rich, QUERIES, replace=False):
        own = photos.match[:, number]
        both = (photos.match & own[:, np.newaxis]).sum(axis=0)
        either = (photos.match | own[:, np.newaxis]).sum(axis=0)
        match: Mask = np.asarray(both / either >= 0.5)
        match[number] = False
        none: Mask = np.asarray(photos.none[own].all(axis=0))
        if match.sum() >= MIN_PHOTOS and none.sum() >= SIZES[0]:
            yield from _collections(
                photos.vectors[number], photos, background, match, none, int(number)
            )


def mixed_examples(encoder: OnnxEncoder, photos: Photos, background: Background) -> Examples:
    """Yield examples with each concept together with a photo of it as the query."""
    random = np.random.default_rng(2)
    texts = encoder.encode_texts(photos.names)
    for number, text in enumerate(texts):
        matching = np.flatnonzero(photos.match[number])
        for chosen in random.choice(matching, min(4, len(matching)), replace=False):
            match = photos.match[number].copy()
            match[chosen] = False
            query = unit(text + photos.vectors[chosen])
            yield from _collections(
                query, photos, background, match, photos.none[number], int(chosen)
            )


def label_examples(encoder: OnnxEncoder, photos: Photos, background: Background) -> Examples:
    """Yield examples with sets of labels of which one fits a photo, or none.

    A best label that is wrong does not count as a match either.
    """
    random = np.random.default_rng(3)
    weights = class_vectors(encoder, photos.names, DEFAULT_TEMPLATES)
    for photo in range(len(photos.vectors)):
        fitting = np.flatnonzero(photos.match[:, photo])
        foreign = np.flatnonzero(photos.none[:, photo])
        if not len(fitting):
            continue
        size = LABEL_SETS[photo % len(LABEL_SETS)]
        others = random.choice(foreign, min(size, len(foreign)), replace=False)
        for labels in (others, np.append(others[:-1], random.choice(fitting))):
            vector = photos.vectors[photo : photo + 1]
            scores = vector @ weights[labels].T
            best = labels[scores.argmax(axis=1)]
            yield label_features(scores, vector, background), photos.match[best, photo]


if __name__ == "__main__":
    main(*sys.argv[1:])
