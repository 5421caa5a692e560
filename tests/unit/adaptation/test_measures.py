"""Measures, splits and the estimate of strangers, against scikit-learn or by hand."""

from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from adaptation.calibration import calibration_error, fit_temperature, log_loss
from adaptation.data.splits import folds, group_pairs, take_shots
from adaptation.methods.prototypes import Prototypes
from adaptation.open_set import learn_rejection
from adaptation.task import Task
from benchmarks.episodes import run_episodes
from benchmarks.verification import verify
from search.labels.heads import none_of_these, softmax
from support.clusters import clustered


def test_verification_counts_pairs() -> None:
    task = clustered(12, 0)
    found = verify(task.vectors, task.targets)
    pairs = list(combinations(range(len(task.targets)), 2))
    cosines = np.array([task.vectors[a] @ task.vectors[b] for a, b in pairs])
    same = np.array([task.targets[a] == task.targets[b] for a, b in pairs])
    closer = (cosines[same][:, None] > cosines[~same]).mean()
    shares = [(((cosines >= at) & ~same).sum() / (~same).sum(), ((cosines < at) & same).sum()
               / same.sum()) for at in cosines]  # fmt: skip
    crossing = min(shares, key=lambda pair: abs(pair[0] - pair[1]))
    assert found.pairs == len(pairs)
    assert found.auc == pytest.approx(closer, abs=1e-4)
    assert found.eer == pytest.approx(np.mean(crossing), abs=1e-3)


def test_fit_temperature_recovers_the_true_one() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(20_000, 5)) * 4
    shares = softmax(logits, 2.5)
    targets = (random.random((20_000, 1)) > shares.cumsum(axis=1)).sum(axis=1).clip(max=4)
    temperature = fit_temperature(logits, targets)
    assert temperature == pytest.approx(2.5, rel=0.05)
    assert log_loss(logits, targets, temperature) < log_loss(logits, targets)
    assert calibration_error(logits, targets, temperature) < 0.02
    assert calibration_error(logits, targets) > 0.1


def test_calibration_error_is_the_mean_gap_of_bins() -> None:
    # Two bins: sure (0.9) and right every time, less sure (0.6) and right half of the time.
    logits = np.log([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 4)
    targets = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    assert calibration_error(logits, targets) == pytest.approx(0.5 * 0.1 + 0.5 * 0.1)


def test_folds_are_stratified_and_keep_copies_together() -> None:
    targets = np.repeat([0, 1, 2], [10, 7, 5])
    groups = group_pairs(len(targets), [(0, 1), (1, 2), (12, 13)])
    parts = folds(targets, 0, groups=groups)
    assert len(parts) == 5
    held = np.concatenate([validation for _, validation in parts])
    assert sorted(held.tolist()) == list(range(len(targets)))
    for training, validation in parts:
        assert not set(groups[training]) & set(groups[validation])
        assert set(targets[validation]) == {0, 1, 2} or len(set(groups[targets == 1])) < 6
    again = folds(targets, 0, groups=groups)
    assert all((a[1] == b[1]).all() for a, b in zip(parts, again, strict=True))


def test_folds_of_a_seed_never_change() -> None:
    # What the version before scikit-learn drew; resumed tuning runs and repeated heads need it.
    groups = group_pairs(11, [(0, 4), (4, 5), (7, 8)])
    parts = folds(np.repeat([0, 1], [6, 5]), 3, groups=groups)
    held_out = [validation.tolist() for _, validation in parts]
    assert held_out == [[2, 9], [1, 7, 8], [3, 6], [0, 4, 5, 10]]


def test_no_folds_with_one_example_a_class() -> None:
    assert folds(np.array([0, 0, 1]), 0) == []
    # Nor does one of three copies.
    assert folds(np.array([0, 0, 1, 1, 1]), 0, groups=np.array([0, 1, 2, 2, 2])) == []


def test_shots_cover_classes_and_follow_the_seed() -> None:
    targets = np.repeat([0, 1, 2], [10, 7, 1])
    rows = take_shots(targets, 3, 5)
    assert np.bincount(targets[rows]).tolist() == [3, 3, 1]
    np.testing.assert_array_equal(rows, take_shots(targets, 3, 5))


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


def test_episodes_repeat_with_their_interval(val: Task) -> None:
    found = run_episodes(Prototypes(), val, ways=3, shots=2, queries=4, count=50, seed=1)
    assert found == run_episodes(Prototypes(), val, ways=3, shots=2, queries=4, count=50, seed=1)
    assert 0.7 < found.accuracy < 1
    assert 0 < found.interval < 0.05
