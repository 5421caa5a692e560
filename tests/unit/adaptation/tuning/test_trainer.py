"""Training by its values over steps, and runs that go on where they were cut off."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from adaptation.tuning.checkpoint import STATE
from adaptation.tuning.image_dataset import Images
from adaptation.tuning.objectives import Classification
from adaptation.tuning.settings import Tuning
from adaptation.tuning.trainer import Split, Trainer, parameter_groups
from adaptation.tuning.tune import ADDITIONS
from indexer.images.decode import Limits
from indexer.images.preprocess import Preprocess
from indexer.openclip.image_tower import ImageTower
from support.images import make_photo
from support.random_towers import small_transformer

SETTINGS = Tuning(epochs=4, batch_size=4, rate=1e-3, head_rate=1e-2, patience=9)
PREPROCESS = Preprocess(size=(32, 32), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Split, Split]:
    """Twelve images to learn from, six to hold out."""
    folder = tmp_path_factory.mktemp("photos")
    paths = [bytes(make_photo(folder / f"{n}.png", n, (48, 40))) for n in range(18)]
    targets = np.arange(18) % 3

    def split(rows: slice) -> Split:
        return Split(Images(paths[rows], PREPROCESS, Limits()), targets[rows])

    return split(slice(0, 12)), split(slice(12, 18))


def trainer(folder: Path, settings: Tuning = SETTINGS, key: str = "k") -> Trainer:
    """A random tower and head, the same each time."""
    visual = small_transformer()
    if settings.method != "full":
        ADDITIONS[settings.method](visual, settings)
    tower = ImageTower(visual, PREPROCESS, "fp32")
    return Trainer(tower, Classification(nn.Linear(16, 3)), settings, folder, steps=3, key=key)


def finished(run: Iterator[object]) -> None:
    for _ in run:
        pass


@pytest.mark.parametrize("method", ["full", *ADDITIONS])
def test_an_interrupted_run_ends_with_the_same_weights(
    method: str, splits: tuple[Split, Split], tmp_path: Path
) -> None:
    settings = replace(SETTINGS, method=method)
    whole = trainer(tmp_path / "whole", settings)
    finished(whole.run(*splits))
    cut = trainer(tmp_path / "cut", settings).run(*splits)
    next(cut)
    next(cut)
    del cut  # as a kill leaves it: two epochs are on disk
    again = trainer(tmp_path / "cut", settings)
    finished(again.run(*splits))
    assert again.step == whole.step == 12
    for name, expected in whole.weights().items():
        torch.testing.assert_close(again.weights()[name], expected, atol=1e-6, rtol=0)
    for mine, expected_metrics in zip(again.history, whole.history, strict=True):
        assert mine == pytest.approx(expected_metrics)


def test_a_state_of_other_data_or_settings_is_not_resumed(
    splits: tuple[Split, Split], tmp_path: Path
) -> None:
    next(trainer(tmp_path).run(*splits))
    assert (tmp_path / STATE).exists()
    for other in (trainer(tmp_path, key="other"), trainer(tmp_path, replace(SETTINGS, seed=1))):
        other.resume()
        assert other.step == 0
    same = trainer(tmp_path)
    same.resume()
    assert same.step == 3


def test_a_state_of_the_earlier_version_is_resumed(
    splits: tuple[Split, Split], tmp_path: Path
) -> None:
    next(trainer(tmp_path).run(*splits))
    with safe_open(str(tmp_path / STATE), "pt") as opened:
        header = opened.metadata()
    # That version called the metadata "facts".
    save_file(
        load_file(str(tmp_path / STATE)), str(tmp_path / STATE), {"facts": header["metadata"]}
    )
    again = trainer(tmp_path)
    again.resume()
    assert again.step == 3


@pytest.mark.parametrize("damage", ["cut", "empty", "noise"])
def test_a_damaged_state_is_ignored(
    damage: str, splits: tuple[Split, Split], tmp_path: Path
) -> None:
    next(trainer(tmp_path).run(*splits))
    data = (tmp_path / STATE).read_bytes()
    changed = {"cut": data[: len(data) // 2], "empty": b"", "noise": b"x" * 5000}
    (tmp_path / STATE).write_bytes(changed[damage])
    again = trainer(tmp_path)
    again.resume()
    assert again.step == 0


def test_training_lowers_the_loss_and_keeps_the_best(
    splits: tuple[Split, Split], tmp_path: Path
) -> None:
    one = trainer(tmp_path, replace(SETTINGS, epochs=20, rate=3e-3, head_rate=0.3))
    finished(one.run(*splits))
    assert one.history[-1]["loss"] < 0.7 * one.history[0]["loss"]
    best = min(metrics["held_out_loss"] for metrics in one.history)
    vectors = one.vectors(splits[1].images)
    logits = one.objective.head(vectors).detach().numpy()
    own = logits[np.arange(6), splits[1].targets]
    assert (np.log(np.exp(logits).sum(axis=1)) - own).mean() == pytest.approx(best, abs=1e-6)


def test_patience_ends_a_run(splits: tuple[Split, Split], tmp_path: Path) -> None:
    wild = replace(SETTINGS, epochs=30, rate=0.3, head_rate=3.0, patience=1)
    one = trainer(tmp_path, wild)
    finished(one.run(*splits))
    assert len(one.history) < 30


def test_each_layer_has_its_rate_and_its_turn(splits: tuple[Split, Split], tmp_path: Path) -> None:
    settings = replace(SETTINGS, layer_decay=0.5, unfreeze_per_epoch=2)
    one = trainer(tmp_path, settings)
    peaks = [group["peak"] for group in parameter_groups(one.tower.visual, one.objective, settings)]
    assert peaks == pytest.approx([1e-3 * 0.5**n for n in (4, 3, 2, 1, 0)] + [1e-2])
    before = one.weights()
    next(one.run(*splits))
    moved = {name for name, value in one.weights().items() if not torch.equal(value, before[name])}
    assert any("resblocks.2" in name for name in moved)
    assert not any("resblocks.0" in name or "resblocks.1" in name for name in moved)
    assert "objective.head.weight" in moved


def test_gradients_add_up_to_the_batchs(splits: tuple[Split, Split], tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole", replace(SETTINGS, at_once=4))
    parts = trainer(tmp_path / "parts", replace(SETTINGS, at_once=1))
    next(whole.run(*splits))
    next(parts.run(*splits))
    for name, expected in whole.weights().items():
        torch.testing.assert_close(parts.weights()[name], expected, atol=1e-4, rtol=0)


def test_crops_are_the_seeds(splits: tuple[Split, Split]) -> None:
    images, rows = splits[0].images, np.arange(3)
    first = images.augmented(rows, seed=1, epoch=2)
    assert first.shape == (3, 3, 32, 32)
    np.testing.assert_array_equal(first, images.augmented(rows, seed=1, epoch=2))
    np.testing.assert_array_equal(first[1:2], images.augmented(rows[1:2], seed=1, epoch=2))
    assert (first != images.augmented(rows, seed=1, epoch=3)).any()
