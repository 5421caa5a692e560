"""Folds and few-shot draws."""

import numpy as np

from adaptation.data.splits import folds, group_pairs, take_shots


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
