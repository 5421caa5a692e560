"""Zero-shot labels: which of these words fits a picture best.

Each label is written into every prompt template, the texts' vectors are averaged, and a softmax
over the cosines at the model's logit scale gives probabilities. Whether any label fits at all is a
question of its own (`relevance.py`): a softmax always finds one.
Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision,
2021, section 3.1.4.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from indexer.decode import Limits
from indexer.encoder import Embeddings, Encoder, unit
from indexer.errors import QueryError
from indexer.lookup import Lookup
from indexer.packed import Ids

from .engine import Engine
from .files import embed_files, tasks_of
from .heads import Head, head_with, softmax
from .hits import path_facts
from .kept_labels import with_label
from .relevance import Estimator

DEFAULT_TEMPLATES = ("a photo of a {}",)
# open_clip's own starting point, exp(ln(1 / 0.07)); for encoders that do not say theirs.
DEFAULT_LOGIT_SCALE = 1 / 0.07


Answer = tuple[tuple[tuple[str, float], ...], float | None]
"""A picture's best labels with their probabilities, and the probability that none fits."""


@dataclass(frozen=True)
class Labelled:
    """One file and its best labels with probabilities, or the reason why it has none.

    none: probability that no label fits; None where the model carries no estimate.
    """

    path: bytes
    labels: tuple[tuple[str, float], ...] = ()
    none: float | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            **path_facts(self.path),
            "labels": [
                {"label": label, "probability": round(probability, 6)}
                for label, probability in self.labels
            ],
            "none": self.none,
        }


class Labels(Protocol):
    """What names pictures by their vectors: a `Labeller`, or a head."""

    def best(self, vectors: Embeddings, top: int) -> list[Answer]:
        """For each of `(n, dim)` its `top` best labels, best first, and P(none fits)."""


class Labeller:
    """A set of labels, ready to be compared with pictures."""

    def __init__(
        self, encoder: Encoder, labels: Sequence[str], templates: Sequence[str] = ()
    ) -> None:
        """templates: with `{}` where the label goes. Raises QueryError for none or a bad one."""
        self.labels = list(dict.fromkeys(label.strip() for label in labels if label.strip()))
        if not self.labels:
            raise QueryError('no labels: name some with --labels "cat,dog" or --labels-file FILE')
        self.weights = class_vectors(encoder, self.labels, templates or DEFAULT_TEMPLATES)
        self.logit_scale = float(getattr(encoder, "logit_scale", DEFAULT_LOGIT_SCALE))
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


def bound(text: str) -> tuple[str, float]:
    """`LABEL>P` as (label, probability); one half without a number. Raises QueryError."""
    label, found, number = text.rpartition(">")
    if not found:
        label, number = text, "0.5"
    try:
        probability = float(number)
    except ValueError:
        probability = -1.0
    if not label.strip() or not 0 <= probability <= 1:
        raise QueryError(f'{text!r}: expected "LABEL>P" with P from 0 to 1')
    return label.strip(), probability


def showing(engine: Engine, label: str, probability: float) -> Ids:
    """The contents `(n,)`, rising, that show a label with a probability above this.

    Those that keep the label are among them. Of the others the newest head that knows the label
    tells, and where none does, the estimated relevance of the label as a text.
    """
    head = head_with(engine.collection.folder, label, engine.model.fingerprint)
    told = (
        _by_text(engine, label, probability)
        if head is None
        else _by_head(engine, head, label, probability)
    )
    return np.union1d(told, with_label(engine.catalogue, label, probability))


def _by_head(engine: Engine, head: Head, label: str, probability: float) -> Ids:
    column = head.classes.index(label)
    found = [np.empty(0, np.int64)]
    for ids, vectors in engine.catalogue.embeddings(engine.model.fingerprint):
        shares = head.probabilities(vectors)[:, column]
        none = head.none(vectors)
        fitting = shares if none is None else shares * (1 - none)
        found.append(ids[fitting > probability])
    return np.concatenate(found)


def _by_text(engine: Engine, label: str, probability: float) -> Ids:
    if engine.estimator is None:
        raise QueryError(
            f"the model {engine.model.name} carries no estimate of relevance, which --label needs"
        )
    query = class_vectors(engine.encoder, [label], DEFAULT_TEMPLATES)[0]
    spread = engine.index.spread(query)
    found = [np.empty(0, np.int64)]
    for ids, vectors in engine.catalogue.embeddings(engine.model.fingerprint):
        estimates = engine.estimator.hits("text", vectors @ query, vectors, spread)
        found.append(ids[estimates > probability])
    return np.concatenate(found)


def label_collection(engine: Engine, labeller: Labels, *, top: int) -> Iterator[Labelled]:
    """Every file of the collection, from its stored vectors."""
    catalogue, fingerprint = engine.catalogue, engine.model.fingerprint
    for ids, vectors in catalogue.embeddings(fingerprint):
        contents = catalogue.contents(ids.tolist())
        for number, answer in zip(ids.tolist(), labeller.best(vectors, top), strict=True):
            if number in contents:
                for path in contents[number].paths:
                    yield Labelled(path, *answer)


def label_files(
    paths: Iterable[Path],
    labeller: Labels,
    encoder: Encoder,
    *,
    top: int,
    engine: Engine | None = None,
    workers: int | None = None,
    limits: Limits | None = None,
) -> Iterator[Labelled]:
    """Files, and all pictures of folders; nothing is stored.

    encoder: of the labeller's model. engine: a collection of that model, whose vectors are used
    for the pictures that it holds; all others are encoded now. Raises RootUnavailable for a path
    that is not there.
    """
    tasks, unreadable = tasks_of(paths)
    with ExitStack() as stack:
        stored = (
            None
            if engine is None
            else stack.enter_context(Lookup(engine.collection, engine.model.fingerprint))
        )
        for file in embed_files(
            tasks,
            encoder,
            lambda vectors: labeller.best(vectors, top),
            stored=stored,
            workers=workers,
            limits=limits,
        ):
            labels, none = file.value or ((), None)
            yield Labelled(file.path, labels, none, file.reason)
    for location, reason in unreadable:
        yield Labelled(location, reason=reason)
