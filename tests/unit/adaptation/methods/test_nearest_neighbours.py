"""Nearest neighbours, against scikit-learn's."""

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from adaptation.methods.nearest_neighbours import NearestNeighbours
from adaptation.task import Task


def test_neighbours_are_scikit_learns(train: Task, val: Task) -> None:
    oracle = KNeighborsClassifier(
        7, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / 0.07)
    ).fit(train.vectors, train.targets)
    head = NearestNeighbours(k=7).fit(train, 0)
    found = np.exp(head.logits(val.vectors))
    np.testing.assert_allclose(found, oracle.predict_proba(val.vectors), atol=1e-4)
