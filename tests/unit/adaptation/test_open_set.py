"""Images of no known class, by the area under the ROC curve."""

import numpy as np
from sklearn.metrics import roc_auc_score

from adaptation.data.splits import take_shots
from adaptation.open_set import learn_rejection
from adaptation.task import Task
from search.labels.heads import none_of_these
from support.clusters import clustered


def test_rejection_separates_unknown_classes() -> None:
    known, unknown = clustered(12, 0, classes=8), clustered(40, 1, classes=8)
    rows = np.flatnonzero(known.targets < 4)
    task = Task(known.vectors[rows], known.targets[rows], known.text[:4], 20.0)
    learnt = learn_rejection(task)
    none = none_of_these(unknown.vectors, learnt["centres"], learnt["rejection"])
    strange = unknown.targets >= 4
    assert roc_auc_score(strange, none) > 0.9
    assert (none[strange] > 0.5).mean() > 0.8
    assert (none[~strange] > 0.5).mean() < 0.2


def test_no_rejection_with_one_example_a_class(train: Task) -> None:
    assert learn_rejection(train.subset(take_shots(train.targets, 1, 0))) == {}
