"""Folds and few-shot draws."""

import numpy as np

from adaptation.data.splits import folds, group_pairs, scene_folds, take_shots


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


def test_folds_by_scene_keep_scenes_together() -> None:
    targets = np.repeat([0, 1, 2], [12, 9, 6])
    scenes = np.repeat([0, 4, 8, 12, 15, 18, 21, 24], [4, 4, 4, 3, 3, 3, 3, 3])
    parts = scene_folds(targets, 0, scenes)
    assert len(parts) == 5
    held = np.concatenate([validation for _, validation in parts])
    assert sorted(held.tolist()) == list(range(len(targets)))
    for training, validation in parts:
        assert not set(scenes[training]) & set(scenes[validation])
        assert set(targets[training]) == {0, 1, 2}


def test_folds_by_scene_are_the_old_ones_where_nothing_is_alike() -> None:
    # Otherwise heads of earlier versions would not repeat.
    targets = np.repeat([0, 1], [6, 5])
    copies = group_pairs(11, [(0, 4), (4, 5), (7, 8)])
    for seed in range(20):
        old = folds(targets, seed, groups=copies)
        new = scene_folds(targets, seed, copies, copies=copies)
        assert [(a.tolist(), b.tolist()) for a, b in old] == [
            (a.tolist(), b.tolist()) for a, b in new
        ]


def test_a_class_of_one_scene_is_only_trained_on() -> None:
    targets = np.repeat([0, 1, 2], [6, 6, 1])
    scenes = np.array([0, 0, 0, 0, 0, 0, 6, 6, 8, 8, 10, 10, 12])
    parts = scene_folds(targets, 0, scenes)
    assert {number for _, held in parts for number in targets[held]} == {1}
    assert all(set(targets[training]) == {0, 1, 2} for training, _ in parts)
    assert scene_folds(np.array([0, 0, 1]), 0, np.array([0, 0, 2])) == []


def test_no_fold_leaves_a_class_untrained() -> None:
    # Classes 0 and 1 share both of their scenes with class 2, which draws its folds last.
    targets = np.array([0, 0, 1, 1, 2, 2, 2, 2])
    for seed in range(30):
        for shared in ([0, 1, 2, 3, 0, 1, 2, 3], [0, 1, 0, 3, 1, 3, 6, 7]):
            for training, _ in scene_folds(targets, seed, np.array(shared)):
                assert set(targets[training]) == {0, 1, 2}


def test_one_fold_needs_many_scenes() -> None:
    targets = np.repeat([0, 1], 800)
    assert len(scene_folds(targets, 0, np.arange(1600))) == 1
    assert len(scene_folds(targets, 0, np.arange(1600) // 10 * 10)) == 5


def test_shots_cover_classes_and_follow_the_seed() -> None:
    targets = np.repeat([0, 1, 2], [10, 7, 1])
    rows = take_shots(targets, 3, 5)
    assert np.bincount(targets[rows]).tolist() == [3, 3, 1]
    np.testing.assert_array_equal(rows, take_shots(targets, 3, 5))
