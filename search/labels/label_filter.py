"""Finds the images that show a label, for `--label`."""

from typing import TYPE_CHECKING

import numpy as np

from indexer.errors import QueryError
from indexer.store.codec import Ids

from .heads import Head, head_with
from .zero_shot import DEFAULT_TEMPLATES, class_vectors

if TYPE_CHECKING:  # the engine stands above
    from search.engine import Engine


def images_with_label(engine: "Engine", label: str, probability: float) -> Ids:
    """Return the contents that show a label with more than some probability.

    Images with a saved label count with its probability. Besides, the newest head that knows the
    label decides, or the estimated relevance of the label as a text if there is no such head.

    Args:
        engine: The collection.
        label: The label.
        probability: Leave out images of this probability or less.

    Returns:
        Content ids `(n,)`, ascending.

    Raises:
        QueryError: A text has to decide, and the model has no estimate of relevance.
    """
    head = head_with(engine.collection.folder, label, engine.model.fingerprint)
    found = (
        _by_text(engine, label, probability)
        if head is None
        else _by_head(engine, head, label, probability)
    )
    return np.union1d(found, engine.catalog.contents_with_label(label, probability))


def _by_head(engine: "Engine", head: Head, label: str, probability: float) -> Ids:
    column = head.classes.index(label)
    found = [np.empty(0, np.int64)]
    for ids, vectors in engine.index.vectors():
        shares = head.probabilities(vectors)[:, column]
        none = head.none(vectors)
        fitting = shares if none is None else shares * (1 - none)
        found.append(ids[fitting > probability])
    return np.concatenate(found)


def _by_text(engine: "Engine", label: str, probability: float) -> Ids:
    if engine.estimator is None:
        raise QueryError(
            f"the model {engine.model.name} has no estimate of relevance, which --label needs"
        )
    vector = class_vectors(engine.encoder, [label], DEFAULT_TEMPLATES)[0]
    # Whether it shows the label at all, as a search for it would tell: the estimate for labels
    # tells which of several fits.
    least = engine.estimator.boundary("text", vector).score_above(probability)
    return engine.index.above(vector, float(least))
