"""The split of a tuning run."""

from typing import Any

import numpy as np
import pytest

from adaptation.data.examples import Examples
from adaptation.data.pairs import Pairs
from adaptation.tuning.settings import Tuning
from adaptation.tuning.task_data import TaskData, of_examples, of_pairs
from indexer import load_encoder
from indexer.encoder import BundleEncoder
from support.bursts import bursts, names


@pytest.fixture(scope="module")
def encoder() -> BundleEncoder:
    loaded = load_encoder("pocket", device="cpu")
    assert isinstance(loaded, BundleEncoder)
    return loaded


def of(vectors: np.ndarray, targets: np.ndarray, encoder: BundleEncoder) -> TaskData:
    paths = tuple(names(len(targets)))
    classes = tuple(f"class {number}" for number in range(targets.max() + 1))
    data = Examples(vectors, targets, classes, paths, paths)
    return of_examples(encoder.bundle, encoder, data, 0, [])


def sides(data: TaskData, true: np.ndarray) -> tuple[set[int], set[int]]:
    """The scenes to train on, and those that are held out."""
    numbers = dict(zip(names(len(true)), true.tolist(), strict=True))
    training, held_out = (
        {numbers[path] for path in split.images.paths} for split in (data.training, data.held_out)
    )
    return training, held_out


def test_tuning_holds_out_whole_scenes(encoder: BundleEncoder) -> None:
    vectors, targets, true = bursts(3, 5, 4, dim=512)
    training, held_out = sides(of(vectors, targets, encoder), true)
    assert held_out
    assert not training & held_out
    data = Pairs(
        vectors,
        tuple(f"text {row}" for row in range(len(true))),
        np.arange(len(true))[:, np.newaxis],
        *(tuple(names(len(true))) for _ in range(2)),
    )
    training, held_out = sides(of_pairs(encoder.bundle, encoder, data, Tuning()), true)
    assert held_out
    assert not training & held_out


def test_a_run_that_held_out_other_images_is_not_resumed(
    encoder: BundleEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keys(shots: int) -> list[str]:
        vectors, targets, _ = bursts(3, 6, shots, dim=512)
        found = [of(vectors, targets, encoder).key]
        with monkeypatch.context() as patched:

            def copies(*given: Any) -> np.ndarray:
                return np.asarray(given[-1])

            patched.setattr("adaptation.data.grouping.scenes_of", copies)
            found.append(of(vectors, targets, encoder).key)
        return found

    new, old = keys(3)
    assert new != old
    new, old = keys(1)  # nothing is alike: the earlier version's split, and its run goes on
    assert new == old


def test_one_scene_of_each_class_still_trains(encoder: BundleEncoder) -> None:
    vectors, targets, _ = bursts(3, 1, 5, dim=512)
    data = of(vectors, targets, encoder)
    assert len(data.held_out.targets) == 3
