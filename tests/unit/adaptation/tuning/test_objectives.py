"""Losses against their equations, and gradients of a batch in parts against the whole."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from torch import nn
from torch.nn import functional

from adaptation.tuning.image_dataset import Images
from adaptation.tuning.objectives import Classification, Contrastive
from adaptation.tuning.settings import Tuning
from adaptation.tuning.trainer import Split, Trainer
from indexer.encoder import unit
from indexer.images.decode import Limits
from indexer.images.preprocess import Preprocess
from indexer.openclip.image_tower import ImageTower
from support.images import make_photo
from support.random_towers import small_transformer

PREPROCESS = Preprocess(size=(32, 32), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
OWN = np.array([[0, 1, -1], [2, -1, -1], [3, 4, 5], [1, 6, -1], [7, -1, -1], [8, 9, -1]])


def vectors(count: int, seed: int) -> torch.Tensor:
    return torch.from_numpy(unit(np.random.default_rng(seed).normal(size=(count, 16))))


def captions() -> np.ndarray:
    return vectors(10, 1).numpy().astype(np.float32)


def test_the_loss_is_clips_own_where_captions_differ() -> None:
    objective = Contrastive(captions(), scale=20.0)
    images = vectors(4, 2).float()
    sampled = torch.tensor([0, 2, 4, 6])
    expected = open_clip.ClipLoss()(images, objective.captions[sampled], torch.tensor(20.0))
    torch.testing.assert_close(objective.loss(images, sampled), expected)


def test_one_caption_of_two_images_is_right_for_both() -> None:
    objective = Contrastive(captions(), scale=20.0)
    images = vectors(2, 2).float()
    logits = 20 * images @ objective.captions[[1, 1]].T
    loss = objective.loss(images, torch.tensor([1, 1]))
    rows = -functional.log_softmax(logits, dim=1).mean()
    columns = -functional.log_softmax(logits, dim=0).mean()
    torch.testing.assert_close(loss, (rows + columns) / 2)


def test_each_image_draws_its_own_captions_and_all_of_them() -> None:
    objective = Contrastive(captions(), scale=20.0)
    sampled = np.stack(
        [objective.sample(OWN, np.random.default_rng(seed)).numpy() for seed in range(60)]
    )
    for column, own in enumerate(OWN):
        assert set(sampled[:, column]) == set(own[own >= 0])


def test_metrics_of_captions() -> None:
    objective = Contrastive(captions(), scale=20.0)
    images = vectors(6, 3).float()
    metrics = objective.evaluate(images, OWN)
    ranks = []
    for caption in range(10):
        scores = images @ objective.captions[caption]
        right = [row for row in range(6) if caption in OWN[row]]
        ranks.append(1 + int((scores > scores[right].max()).sum()))
    assert metrics["held_out_mean_reciprocal_rank"] == pytest.approx(np.mean(1 / np.array(ranks)))
    assert metrics["held_out_recall_at_10"] == 1.0


def test_metrics_of_classes() -> None:
    head = nn.Linear(16, 3)
    targets = np.array([0, 1, 2, 0])
    images = vectors(4, 4).float()
    with torch.no_grad():
        metrics = Classification(head).evaluate(images, targets)
        logits = head(images)
    expected = functional.cross_entropy(logits, torch.from_numpy(targets))
    assert metrics["held_out_loss"] == pytest.approx(float(expected), abs=1e-6)
    right = logits.argmax(1).numpy() == targets
    assert metrics["held_out_accuracy"] == right.mean()


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    folder = tmp_path_factory.mktemp("photos")
    paths = [bytes(make_photo(folder / f"{n}.png", n, (48, 40))) for n in range(6)]
    return Split(Images(paths, PREPROCESS, Limits()), OWN)


def trainer(folder: Path, settings: Tuning) -> Trainer:
    """A random transformer, the same each time."""
    visual = small_transformer()
    visual.set_grad_checkpointing(settings.checkpointing)  # type: ignore[operator]
    tower = ImageTower(visual, PREPROCESS, "fp32")
    return Trainer(tower, Contrastive(captions(), 20.0), settings, folder, steps=1, key="k")


SETTINGS = Tuning(epochs=1, batch_size=6, at_once=8, rate=1e-3, warmup=0.0)


@pytest.mark.parametrize("change", [{"at_once": 2}, {"at_once": 4}, {"checkpointing": True}])
def test_gradients_do_not_depend_on_what_is_held_at_once(
    change: dict[str, object], split: Split, tmp_path: Path
) -> None:
    whole = trainer(tmp_path / "whole", SETTINGS)
    other = trainer(tmp_path / "other", replace(SETTINGS, **change))
    next(whole.run(split, split))
    next(other.run(split, split))
    gradients = dict(whole.tower.visual.named_parameters())
    assert any(p.grad is not None and p.grad.abs().max() > 1e-4 for p in gradients.values())
    for name, parameter in other.tower.visual.named_parameters():
        expected = gradients[name].grad
        assert (parameter.grad is None) == (expected is None)
        if expected is not None:
            torch.testing.assert_close(parameter.grad, expected, atol=1e-5, rtol=1e-4)


def test_images_come_closer_to_their_captions(split: Split, tmp_path: Path) -> None:
    one = trainer(tmp_path, replace(SETTINGS, epochs=30, rate=3e-3, patience=30))
    history = list(one.run(split, split))
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]
    assert one.evaluate(split)["held_out_loss"] == pytest.approx(
        min(one["held_out_loss"] for one in history), abs=1e-5
    )


def test_half_precision_learns_too(split: Split, tmp_path: Path) -> None:
    one = trainer(tmp_path, replace(SETTINGS, epochs=20, rate=3e-3, patience=30))
    one.tower.precision = "bf16"
    history = list(one.run(split, split))
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    assert all(p.dtype == torch.float32 for p in one.tower.visual.parameters())
