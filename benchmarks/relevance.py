"""Measure whether clipdex notices that there is no such image, with one class of photos removed.

For each class, its name is the query: once with the class in the collection and once without it.
AUROC of the best hit's relevance, present against absent; how often the best hit is called a match;
and the same threshold on collections that hold only this class, or only another one. Then the same
for labels: each photo with its own class among the labels, and without.

A best hit that shows the class removes itself when the class goes; a wrong best hit stays, and
looks the same both times. So no estimate can pass `share of right best hits + half of the rest`,
which is printed as the ceiling.

usage: python benchmarks/relevance.py DATA
    DATA: a folder of CLASS/*.jpg, none of which the estimate was fitted on
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from indexer import build, load_encoder
from indexer.store.catalog import Catalog
from indexer.store.collection import Collection
from indexer.store.vector_index import Spread
from measure import report
from search.hits import LIKELY
from search.labels.zero_shot import DEFAULT_TEMPLATES, class_vectors
from search.ranking.relevance import Estimator

TEMPLATES = ("{}", "a photo of a {}")


def vectors_of(data: Path, encoder) -> tuple[np.ndarray, np.ndarray]:
    """(vectors `(n, dim)`, class `(n,)`) of the photos, as indexed."""
    with tempfile.TemporaryDirectory() as scratch:
        build([data], collection=scratch, encoder=encoder)
        catalog = Catalog.open(Collection(Path(scratch)))
        parts = list(catalog.embeddings(encoder.fingerprint))
        ids = np.concatenate([part[0] for part in parts])
        contents = catalog.contents(ids.tolist())
        catalog.close()
    names = [Path(contents[number].paths[0].decode()).parent.name for number in ids.tolist()]
    return np.concatenate([part[1] for part in parts]), np.array(names)


def relevance(estimator: Estimator, query: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """`(n,)`: the relevance of each image of a collection that holds just these."""
    scores = vectors @ query
    spread = Spread(float(scores.mean()), float(scores.std()), len(scores))
    return estimator.hits("text", scores, vectors, spread)


def queries(estimator, encoder, vectors, truth, classes, template: str) -> dict[str, str]:
    """One row: the classes' names as queries."""
    texts = encoder.encode_texts([template.format(name.replace("_", " ")) for name in classes])
    random = np.random.default_rng(0)
    present, absent, right, single, recalled, foreign = [], [], [], [], [], []
    for name, query in zip(classes, texts, strict=True):
        best = int((vectors @ query).argmax())
        present.append(relevance(estimator, query, vectors)[best])
        right.append(truth[best] == name)
        others = vectors[truth != name]
        absent.append(relevance(estimator, query, others)[(others @ query).argmax()])
        own = vectors[truth == name]
        estimates = relevance(estimator, query, own)
        single.append(estimates[(own @ query).argmax()] >= LIKELY)
        recalled.append(np.mean(estimates >= LIKELY))
        other = vectors[truth == random.choice([c for c in classes if c != name])]
        foreign.append(relevance(estimator, query, other)[(other @ query).argmax()] >= LIKELY)
    hit = np.array(right)
    truths = np.repeat([1, 0], len(classes))
    return {
        "query": f"`{template.format('CLASS')}`",
        "best hit right": f"{hit.mean():.0%}",
        "AUROC": f"{roc_auc_score(truths, present + absent):.3f}",
        "ceiling": f"{hit.mean() + (1 - hit.mean()) / 2:.3f}",
        "AUROC right / not": f"{roc_auc_score([*hit, *np.zeros(len(hit))], present + absent):.3f}",
        "called a match: present": f"{np.mean(np.array(present) >= LIKELY):.0%}",
        "right": f"{np.mean(np.array(present)[hit] >= LIKELY):.0%}",
        "absent": f"{np.mean(np.array(absent) >= LIKELY):.0%}",
        "only this class: best hit": f"{np.mean(single):.0%}",
        "each photo": f"{np.mean(recalled):.0%}",
        "only another": f"{np.mean(foreign):.0%}",
    }


def labels(estimator, encoder, vectors, truth, classes) -> dict[str, str]:
    """One row: all classes as labels, with a photo's own and without."""
    names = [name.replace("_", " ") for name in classes]
    scores = vectors @ class_vectors(encoder, names, DEFAULT_TEMPLATES).T
    own = np.array([classes.index(name) for name in truth])
    fits = estimator.labels(scores, vectors)
    rows = np.arange(len(scores))
    kept = np.ones(scores.shape, dtype=bool)
    kept[rows, own] = False
    without = estimator.labels(scores[kept].reshape(len(scores), -1), vectors)
    right = scores.argmax(axis=1) == own
    none, none_without = 1 - fits, 1 - without
    either = np.concatenate([none, none_without])
    present, wrong = np.repeat([0, 1], len(rows)), np.concatenate([~right, np.ones_like(right)])
    return {
        "labels": f"{len(classes)}",
        "best label right": f"{right.mean():.1%}",
        "AUROC of none": f"{roc_auc_score(present, either):.3f}",
        "ceiling": f"{right.mean() + (1 - right.mean()) / 2:.3f}",
        "AUROC right / not": f"{roc_auc_score(wrong, either):.3f}",
        "none of these: own class there": f"{np.mean(none >= LIKELY):.0%}",
        "and right": f"{np.mean(none[right] >= LIKELY):.0%}",
        "own class missing": f"{np.mean(none_without >= LIKELY):.0%}",
    }


def main(data: Path) -> None:
    encoder = load_encoder(threads=2)
    estimator = Estimator.of(encoder)
    assert estimator is not None
    vectors, truth = vectors_of(data, encoder)
    classes = sorted(set(truth.tolist()))
    title = f"{data.parent.name} {data.name}, {len(classes)} classes, {len(vectors):,} photos"
    report(
        "relevance_queries",
        f"Relevance: {title}",
        [queries(estimator, encoder, vectors, truth, classes, one) for one in TEMPLATES],
    )
    report(
        "relevance_labels",
        f"None of these: {title}",
        [labels(estimator, encoder, vectors, truth, classes)],
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
