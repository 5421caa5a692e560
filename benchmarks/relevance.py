"""Measure whether the estimate of matches is right, and notices that there is no such image.

usage: python benchmarks/relevance.py concepts FLICKR8K [PACS]
    FLICKR8K: a folder with train.jsonl, which the estimate is fitted on again in five folds over
    the concepts, and dev.jsonl, which measures each fold's estimate with the concepts left out
    PACS: a folder of DOMAIN/CLASS/*.jpg, where the shipped estimate is measured by kind of image

usage: python benchmarks/relevance.py classes DATA
    DATA: a folder of CLASS/*.jpg, none of which the estimate was fitted on

Concepts: each is a query, in three templates, once with its photos in the collection and once with
them taken out. ECE compares the estimates of the 50 best hits with how many of them match, in ten
steps; docs/relevance.svg shows them.

Classes: each one's name is the query, with the class in the collection and without it. AUROC of the
best hit's relevance, present against absent; how often the best hit is called a match; and the same
threshold on collections that hold only this class, or only another one. Then the same for labels:
each photo with its own class among the labels, and without.

A best hit that shows the class removes itself when the class goes; a wrong best hit stays, and
looks the same both times. So no estimate can pass `share of right best hits + half of the rest`,
which is printed as the ceiling.
"""

import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import matplotlib
import numpy as np
from sklearn.metrics import roc_auc_score

matplotlib.use("svg")
from matplotlib import pyplot

from indexer import build, load_encoder
from indexer.store.catalog import Catalog
from indexer.store.collection import Collection
from measure import REPOSITORY, report
from scripts.relevance import BANDS, TOP, Fit, read_concepts, read_photos, split
from search.hits import CONFIDENT, LIKELY, UNLIKELY
from search.labels.zero_shot import DEFAULT_TEMPLATES, class_vectors
from search.ranking.relevance import Boundary, Estimator

matplotlib.rcParams["svg.hashsalt"] = "clipdex"
TEMPLATES = ("{}", "a photo of a {}")
FOLDS = 5
SIZES = (12, 100, 1000)
# Of the ten best hits, for a query whose hits are good.
GOOD = 0.8
BAND_NAMES = ("under 1 %", "1 to 10 %", "10 to 50 %", "over 50 %")
DOMAINS = ("photo", "art_painting", "cartoon", "sketch")
# Queries that were once said to have no match among photos full of them.
NAMED = ("dog", "person", "people", "man", "boy", "grass", "water", "children", "snow")


class Pairs:
    """Estimates, and whether they were of matches."""

    def __init__(self) -> None:
        self.estimates: list[np.ndarray] = []
        self.truth: list[np.ndarray] = []

    def add(self, estimates: np.ndarray, truth: np.ndarray) -> None:
        """Add the hits of a query."""
        self.estimates.append(estimates)
        self.truth.append(truth)

    @property
    def together(self) -> tuple[np.ndarray, np.ndarray]:
        return np.concatenate(self.estimates), np.concatenate(self.truth)

    def steps(self) -> list[tuple[float, float, float]]:
        """(mean estimate, share of matches, share of all hits) of each step of a tenth."""
        estimates, truth = self.together
        step = np.minimum((estimates * 10).astype(int), 9)
        return [
            (float(estimates[step == at].mean()), float(truth[step == at].mean()), float(here))
            for at in range(10)
            if (here := np.mean(step == at))
        ]

    def ece(self) -> str:
        """The expected calibration error."""
        return f"{sum(abs(one - other) * here for one, other, here in self.steps()):.3f}"

    def auroc(self) -> str:
        return f"{roc_auc_score(*self.together[::-1]):.3f}"


def concepts(flickr: Path, pacs: Path | None) -> None:
    """Measure the estimate on concepts that it was not fitted on."""
    encoder = load_encoder(threads=2)
    known = read_concepts()
    reference, photos = split(read_photos(encoder, flickr / "train.jsonl", known))
    measured = read_photos(encoder, flickr / "dev.jsonl", known)
    fit = Fit(encoder, known, photos, reference.vectors)
    fold = np.random.default_rng(7).permutation(len(known)) % FOLDS
    random = np.random.default_rng(1)
    hits, natural = Pairs(), Pairs()
    bands, sizes = defaultdict(Pairs), defaultdict(Pairs)
    good, absent, named = [], [], []
    for number in range(FOLDS):
        estimator = fit.estimate(fit.common[fold[fit.common] != number])
        for one in np.flatnonzero(fold == number):
            match, none = measured.match[one], measured.none[one]
            if match.sum() < 5:
                continue
            certain, without = np.flatnonzero(match | none), np.flatnonzero(none)
            for query in fit.texts[one]:
                boundary = estimator.boundary("text", query)

                for size in SIZES:
                    some = random.permutation(certain)[:size]
                    sizes[size].add(*best_hits(boundary, query, measured.vectors, match, some))
                estimates, truth = best_hits(boundary, query, measured.vectors, match, certain)
                hits.add(estimates, truth)
                natural.add(estimates, truth)
                share = match.sum() / len(certain)
                bands[int(np.digitize(share, BANDS))].add(estimates, truth)
                if truth[:10].mean() >= GOOD:
                    good.append(estimates[0])
                if known[one].name in NAMED:
                    named.append((known[one].name, float(estimates[0])))
                if len(without) >= TOP:
                    hits.add(*best_hits(boundary, query, measured.vectors, match, without))
                    absent.append(hits.estimates[-1][0])
    tops, gone = np.array(good), np.array(absent)
    lenient = float(np.quantile(gone, 0.75))
    rows = [
        {
            "AUROC of the 50 best hits": hits.auroc(),
            f"queries with P@10 >= {GOOD}": f"{len(good)}",
            "called a match, as are 25 % of absent ones": f"{np.mean(tops >= lenient):.0%}",
            "that threshold": f"{lenient:.2f}",
            "confident": f"{np.mean(tops >= CONFIDENT):.0%}",
            "absent: confident": f"{np.mean(gone >= CONFIDENT):.0%}",
            "nothing here matches": f"{np.mean(tops < UNLIKELY):.1%}",
            "absent: nothing here matches": f"{np.mean(gone < UNLIKELY):.0%}",
            "ECE, with the photos there and without": hits.ece(),
            "ECE, there": natural.ece(),
        }
    ]
    worst = {name: min(p for own, p in named if own == name) for name, _ in named}
    report(
        "relevance_concepts",
        f"Relevance of unseen concepts: {flickr.name} dev, {len(measured.vectors):,} photos",
        rows,
        notes=[
            "Least relevance of the best hit, of three templates: "
            + ", ".join(f"{name} {p:.0%}" for name, p in sorted(worst.items())),
        ],
    )
    groups = {
        **{f"{BAND_NAMES[at]} of the photos": bands[at] for at in sorted(bands)},
        **{f"{size:,} photos": sizes[size] for size in SIZES},
    }
    if pacs is not None:
        shipped = Estimator.of(encoder)
        for domain in DOMAINS:
            groups[domain] = domain_pairs(shipped, encoder, pacs / domain)
    report(
        "relevance_calibration",
        "Relevance: the expected calibration error of the 50 best hits",
        [
            {"of": name, "queries": f"{len(pairs.truth)}", "ECE": pairs.ece()}
            for name, pairs in groups.items()
        ],
    )
    plot({"with the photos there and without": hits, "there": natural, **groups})


def best_hits(
    boundary: Boundary, query: np.ndarray, vectors: np.ndarray, match: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(estimates, whether they match) of the best hits among some photos."""
    scores = vectors[rows] @ query
    order = np.argsort(-scores)[:TOP]
    return boundary.probability(scores[order]), match[rows[order]]


def domain_pairs(estimator: Estimator, encoder, folder: Path) -> Pairs:
    """The shipped estimate of the class names of a domain."""
    vectors, truth = vectors_of(folder, encoder)
    pairs = Pairs()
    for name in sorted(set(truth.tolist())):
        for query in encoder.encode_texts([template.format(name) for template in TEMPLATES]):
            scores = vectors @ query
            order = np.argsort(-scores)[:TOP]
            estimates = estimator.boundary("text", query).probability(scores[order])
            pairs.add(estimates, truth[order] == name)
    return pairs


def plot(groups: dict[str, Pairs]) -> None:
    """Draw the reliability diagram of each group into docs/relevance.svg."""
    columns = 4
    lines = -(-len(groups) // columns)
    figure, axes = pyplot.subplots(
        lines, columns, figsize=(3 * columns, 3 * lines), sharex=True, sharey=True
    )
    for axis in axes.flat[len(groups) :]:
        axis.set_visible(False)
    for axis, (name, pairs) in zip(axes.flat, groups.items(), strict=False):
        estimates, shares, sizes = zip(*pairs.steps(), strict=True)
        axis.plot([0, 1], [0, 1], color="0.8", linewidth=1)
        axis.plot(estimates, shares, color="#3465a4", linewidth=1)
        axis.scatter(estimates, shares, s=[300 * one for one in sizes], color="#3465a4", alpha=0.6)
        axis.set_title(f"{name}: ECE {pairs.ece()}", fontsize=9)
        axis.set(xlim=(0, 1), ylim=(0, 1))
    figure.supxlabel("relevance")
    figure.supylabel("share that matches")
    figure.tight_layout()
    figure.savefig(REPOSITORY / "docs" / "relevance.svg", metadata={"Date": None})


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
    """`(n,)`: the relevance of each image."""
    return estimator.boundary("text", query).probability(vectors @ query)


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
    weights = class_vectors(encoder, names, DEFAULT_TEMPLATES)
    scores = vectors @ weights.T
    own = np.array([classes.index(name) for name in truth])
    each = estimator.boundary("label", weights).probability(scores)
    fits = each.max(axis=1)
    rows = np.arange(len(scores))
    kept = np.ones(scores.shape, dtype=bool)
    kept[rows, own] = False
    without = each[kept].reshape(len(scores), -1).max(axis=1)
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


def classes_of(data: Path) -> None:
    """Measure the shipped estimate on classes of photos."""
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
    folders = [Path(folder).resolve() for folder in sys.argv[2:]]
    if sys.argv[1] == "concepts":
        concepts(folders[0], folders[1] if folders[1:] else None)
    else:
        classes_of(folders[0])
