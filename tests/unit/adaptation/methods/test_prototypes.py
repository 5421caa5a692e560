"""Prototypes, against distances by hand."""

import numpy as np

from adaptation.methods.prototypes import Prototypes
from adaptation.task import Task


def test_prototypes_are_the_nearest_mean(train: Task, val: Task) -> None:
    means = np.stack([train.vectors[train.targets == c].mean(axis=0) for c in range(6)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    distances = ((val.vectors[:, None] - means) ** 2).sum(axis=2)
    found = Prototypes().fit(train, 0).logits(val.vectors).argmax(axis=1)
    np.testing.assert_array_equal(found, distances.argmin(axis=1))
