"""Training by its values over steps, and runs that go on where they were cut off."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from adaptation.tuning.checkpoint import STATE
from adaptation.tuning.image_dataset import Images
from adaptation.tuning.objectives import Classification
from adaptation.tuning.settings import Tuning
from adaptation.tuning.trainer import Loop, Side, parameter_groups
from adaptation.tuning.tune import ADDITIONS
from indexer.images.decode import Limits
from indexer.images.preprocess import Preprocess
from indexer.openclip.image_tower import ImageTower
from support.images import make_photo
from support.random_towers import small_transformer

SETTINGS = Tuning(epochs=4, batch_size=4, rate=1e-3, head_rate=1e-2, patience=9)
PREPROCESS = Preprocess(size=(32, 32), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> tuple[Side, Side]:
    """Twelve images to learn from, six to hold out."""
    folder = tmp_path_factory.mktemp("photos")
    paths = [bytes(make_photo(folder / f"{n}.png", n, (48, 40))) for n in range(18)]
    targets = np.arange(18) % 3

    def side(rows: slice) -> Side:
        return Side(Images(paths[rows], PREPROCESS, Limits()), targets[rows])

    return side(slice(0, 12)), side(slice(12, 18))


def loop(folder: Path, settings: Tuning = SETTINGS, key: str = "k") -> Loop:
    """A random tower and head, the same each time."""
    visual = small_transformer()
    if settings.method != "full":
        ADDITIONS[settings.method](visual, settings)
    tower = ImageTower(visual, PREPROCESS, "fp32")
    return Loop(tower, Classification(nn.Linear(16, 3)), settings, folder, steps=3, key=key)


def finished(run: Iterator[object]) -> None:
    for _ in run:
        pass


@pytest.mark.parametrize("method", ["full", *ADDITIONS])
def test_a_run_that_was_cut_off_ends_with_the_same_weights(
    method: str, sides: tuple[Side, Side], tmp_path: Path
) -> None:
    settings = replace(SETTINGS, method=method)
    whole = loop(tmp_path / "whole", settings)
    finished(whole.run(*sides))
    cut = loop(tmp_path / "cut", settings).run(*sides)
    next(cut)
    next(cut)
    del cut  # as a kill leaves it: two epochs are on disk
    again = loop(tmp_path / "cut", settings)
    finished(again.run(*sides))
    assert again.step == whole.step == 12
    for name, expected in whole.weights().items():
        torch.testing.assert_close(again.weights()[name], expected, atol=1e-6, rtol=0)
    for mine, expected_figures in zip(again.history, whole.history, strict=True):
        assert mine == pytest.approx(expected_figures)


def test_a_state_of_other_data_or_settings_is_not_gone_on_with(
    sides: tuple[Side, Side], tmp_path: Path
) -> None:
    next(loop(tmp_path).run(*sides))
    assert (tmp_path / STATE).exists()
    for other in (loop(tmp_path, key="other"), loop(tmp_path, replace(SETTINGS, seed=1))):
        other.resume()
        assert other.step == 0
    same = loop(tmp_path)
    same.resume()
    assert same.step == 3


@pytest.mark.parametrize("damage", ["cut", "empty", "noise"])
def test_a_damaged_state_is_begun_anew(
    damage: str, sides: tuple[Side, Side], tmp_path: Path
) -> None:
    next(loop(tmp_path).run(*sides))
    data = (tmp_path / STATE).read_bytes()
    changed = {"cut": data[: len(data) // 2], "empty": b"", "noise": b"x" * 5000}
    (tmp_path / STATE).write_bytes(changed[damage])
    again = loop(tmp_path)
    again.resume()
    assert again.step == 0


def test_training_lowers_the_loss_and_keeps_the_best(
    sides: tuple[Side, Side], tmp_path: Path
) -> None:
    one = loop(tmp_path, replace(SETTINGS, epochs=20, rate=3e-3, head_rate=0.3))
    finished(one.run(*sides))
    assert one.history[-1]["loss"] < 0.7 * one.history[0]["loss"]
    best = min(figures["held_out_loss"] for figures in one.history)
    vectors = one.vectors(sides[1].images)
    logits = one.objective.head(vectors).detach().numpy()
    own = logits[np.arange(6), sides[1].targets]
    assert (np.log(np.exp(logits).sum(axis=1)) - own).mean() == pytest.approx(best, abs=1e-6)


def test_patience_ends_a_run(sides: tuple[Side, Side], tmp_path: Path) -> None:
    wild = replace(SETTINGS, epochs=30, rate=0.3, head_rate=3.0, patience=1)
    one = loop(tmp_path, wild)
    finished(one.run(*sides))
    assert len(one.history) < 30


def test_each_layer_has_its_rate_and_its_turn(sides: tuple[Side, Side], tmp_path: Path) -> None:
    settings = replace(SETTINGS, layer_decay=0.5, unfreeze_per_epoch=2)
    one = loop(tmp_path, settings)
    peaks = [group["peak"] for group in parameter_groups(one.tower.visual, one.objective, settings)]
    assert peaks == pytest.approx([1e-3 * 0.5**n for n in (4, 3, 2, 1, 0)] + [1e-2])
    before = one.weights()
    next(one.run(*sides))
    moved = {name for name, value in one.weights().items() if not torch.equal(value, before[name])}
    assert any("resblocks.2" in name for name in moved)
    assert not any("resblocks.0" in name or "resblocks.1" in name for name in moved)
    assert "objective.head.weight" in moved


def test_gradients_add_up_to_the_batchs(sides: tuple[Side, Side], tmp_path: Path) -> None:
    whole = loop(tmp_path / "whole", replace(SETTINGS, at_once=4))
    parts = loop(tmp_path / "parts", replace(SETTINGS, at_once=1))
    next(whole.run(*sides))
    next(parts.run(*sides))
    for name, expected in whole.weights().items():
        torch.testing.assert_close(parts.weights()[name], expected, atol=1e-4, rtol=0)


def test_crops_are_the_seeds(sides: tuple[Side, Side]) -> None:
    images, rows = sides[0].images, np.arange(3)
    first = images.augmented(rows, seed=1, epoch=2)
    assert first.shape == (3, 3, 32, 32)
    np.testing.assert_array_equal(first, images.augmented(rows, seed=1, epoch=2))
    np.testing.assert_array_equal(first[1:2], images.augmented(rows[1:2], seed=1, epoch=2))
    assert (first != images.augmented(rows, seed=1, epoch=3)).any()
