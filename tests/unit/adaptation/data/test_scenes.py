"""What is one scene, and what is not."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from adaptation.data.scenes import MAX_PER_SECOND, scenes_of
from indexer.encoder import unit
from support.bursts import bursts, names
from support.clusters import clustered
from support.dated_photos import write

NOON = datetime(2024, 5, 1, 12, 0, 0)


def unlike(count: int) -> np.ndarray:
    """Orthogonal vectors."""
    return np.eye(count, dtype=np.float32)


def photographed(folder: Path, seconds: list[float]) -> list[bytes]:
    """Files of their own folders, taken so many seconds after noon."""
    paths = [folder / str(number) / "image.jpg" for number in range(len(seconds))]
    for number, (path, second) in enumerate(zip(paths, seconds, strict=True)):
        write(path, number, NOON + timedelta(seconds=second), None)
    return [bytes(path) for path in paths]


def test_shots_of_one_place_are_a_scene() -> None:
    vectors, targets, true = bursts(5, 4, 6)
    found = scenes_of(vectors, targets, names(len(targets)))
    _, first = np.unique(true, return_index=True)
    np.testing.assert_array_equal(found, first[true])


@pytest.mark.parametrize("shared", [0.0, 2.0])
def test_distinct_images_are_scenes_of_their_own(shared: float) -> None:
    # With something in common, as all vectors of some models and all images of some domains have,
    # they are all alike by themselves, and no two more than others.
    task = clustered(20, 0, noise=1.0)
    common = shared * unit(np.ones((1, task.vectors.shape[1])))
    vectors = unit(task.vectors + common).astype(np.float32)
    found = scenes_of(vectors, task.targets, names(len(vectors)))
    assert len(np.unique(found)) > 0.9 * len(found)


def test_a_chain_of_small_steps_is_not_one_scene() -> None:
    angles = np.linspace(0, np.pi / 2, 40)
    vectors = np.stack([np.cos(angles), np.sin(angles), *np.zeros((2, 40))], axis=1)
    vectors = np.concatenate([vectors, [[0, 0, 1, 0]] * 2, [[0, 0, 0, 1]] * 2]).astype(np.float32)
    targets = np.repeat([0, 1], [40, 4])
    found = scenes_of(vectors, targets, names(44))
    assert len(np.unique(found[:40])) > 1
    assert found[0] != found[39]


def test_files_that_follow_each_other_join_what_is_alike() -> None:
    # Each step has a cosine of 0.8, and three steps have one of -0.3.
    angles = np.arccos(0.8) * np.arange(4)
    vectors = np.zeros((6, 4), np.float32)
    vectors[:4, 0], vectors[:4, 1] = np.cos(angles), np.sin(angles)
    vectors[4, 2] = vectors[5, 3] = 1
    targets = np.array([0, 0, 0, 0, 1, 1])
    files = [f"/none/shelf_{n}.jpg".encode() for n in (8, 9, 10, 11)] + [b"/none/a", b"/none/b"]
    assert scenes_of(vectors, targets, files).tolist() == [0, 0, 0, 0, 4, 5]
    assert len(set(scenes_of(vectors, targets, names(6)).tolist())) > 3
    # Neither unlike ones nor those of two classes are joined.
    assert scenes_of(unlike(6), targets, files).tolist() == [0, 1, 2, 3, 4, 5]
    found = scenes_of(vectors, np.array([0, 1, 0, 1, 2, 2]), files)
    assert found.tolist() == [0, 1, 2, 3, 4, 5]


def test_images_of_one_minute_are_a_scene(tmp_path: Path) -> None:
    paths = photographed(tmp_path, [0, 3600, 50, 100, 3700, 3640])
    targets = np.array([0, 0, 0, 0, 0, 1])
    assert scenes_of(unlike(6), targets, paths).tolist() == [0, 1, 0, 0, 4, 5]


def test_a_time_that_too_many_share_is_not_a_cameras(tmp_path: Path) -> None:
    count = MAX_PER_SECOND + 1
    paths = photographed(tmp_path, [0] * count)
    targets = np.zeros(count, np.int64)
    assert len(np.unique(scenes_of(unlike(count), targets, paths))) == count


def test_copies_are_one_scene_even_of_two_classes() -> None:
    found = scenes_of(unlike(4), np.array([0, 0, 1, 1]), names(4), np.array([0, 1, 1, 3]))
    assert found.tolist() == [0, 1, 1, 3]


@pytest.mark.parametrize("count", [1, 2])
def test_few_images_are_no_error(count: int) -> None:
    found = scenes_of(unlike(count), np.zeros(count, np.int64), names(count))
    assert found.tolist() == list(range(count))
