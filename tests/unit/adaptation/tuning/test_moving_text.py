"""A text tower that is trained on captions, alone or with the image tower."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from torch.nn import functional

from adaptation.tuning.image_dataset import Images
from adaptation.tuning.inputs import Stored, StoredTower
from adaptation.tuning.objectives import MovingCaptions
from adaptation.tuning.settings import Tuning
from adaptation.tuning.text_tower import ClipText, Texts, encode
from adaptation.tuning.trainer import Split, Trainer, identity_of, parameter_groups
from indexer.encoder import unit
from indexer.images.decode import Limits
from indexer.images.preprocess import Preprocess
from indexer.openclip.image_tower import ImageTower
from support.images import make_photo
from support.random_towers import VISION, small_transformer

PREPROCESS = Preprocess(size=(32, 32), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
TEXT = {"context_length": 12, "vocab_size": 60, "width": 32, "heads": 2, "layers": 2}
END, PAD = 59, 0
OWN = np.array([[0, 1, -1], [2, -1, -1], [3, 4, 5], [1, 6, -1], [7, -1, -1], [8, 9, -1]])
SETTINGS = Tuning(epochs=4, batch_size=3, at_once=8, rate=2e-3, patience=9, towers="both")


def ids() -> np.ndarray:
    """Ten texts of two to nine random words."""
    random = np.random.default_rng(0)
    table = np.full((10, 12), PAD, np.int64)
    for row in table:
        words = random.integers(1, 58, random.integers(2, 10))
        row[: len(words) + 1] = [*words, END]
    return table


def text_tower() -> ClipText:
    torch.manual_seed(3)
    model = open_clip.CLIP(embed_dim=16, vision_cfg=VISION, text_cfg=TEXT)
    return ClipText(model, cut=True)


def objective(at_once: int = 8) -> MovingCaptions:
    return MovingCaptions(text_tower(), Texts(ids(), PAD, cut=True), 20.0, at_once)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    folder = tmp_path_factory.mktemp("photos")
    paths = [bytes(make_photo(folder / f"{n}.png", n, (48, 40))) for n in range(6)]
    return Split(Images(paths, PREPROCESS, Limits()), OWN)


def trainer(folder: Path, settings: Tuning = SETTINGS) -> Trainer:
    tower = (
        StoredTower(torch.device("cpu"))
        if settings.towers == "text"
        else ImageTower(small_transformer(), PREPROCESS, "fp32")
    )
    own = objective(settings.at_once)
    steps = -(-len(OWN) // settings.batch_size)
    return Trainer(tower, own, settings, folder, steps=steps, key="k")


def stored() -> Split:
    vectors = unit(np.random.default_rng(5).normal(size=(6, 16)))
    return Split(Stored(vectors), OWN)


def test_vectors_are_open_clips_whatever_the_length() -> None:
    torch.manual_seed(3)
    model = open_clip.CLIP(embed_dim=16, vision_cfg=VISION, text_cfg=TEXT).eval()
    with torch.no_grad():
        expected = model.encode_text(torch.from_numpy(ids()), normalize=True)
    found = encode(text_tower(), Texts(ids(), PAD, cut=True))
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


def test_the_loss_is_clips() -> None:
    one = objective(at_once=2)
    images = torch.from_numpy(unit(np.random.default_rng(5).normal(size=(3, 16))))
    sampled = torch.tensor([2, 7, 9])
    captions = torch.from_numpy(encode(text_tower(), Texts(ids()[[2, 7, 9]], PAD, cut=True)))
    logits = 20.0 * images @ captions.T
    expected = (
        functional.cross_entropy(logits, torch.arange(3))
        + functional.cross_entropy(logits.T, torch.arange(3))
    ) / 2
    assert float(one.loss(images, sampled).detach()) == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.parametrize("towers", ["text", "both"])
def test_the_towers_that_are_named_move(towers: str, split: Split, tmp_path: Path) -> None:
    data = stored() if towers == "text" else split
    settings = replace(SETTINGS, towers=towers, epochs=30, patience=30)
    one = trainer(tmp_path, settings)
    before = one.weights()
    history = list(one.run(data, data))
    assert min(m["held_out_loss"] for m in history) < 0.8 * history[0]["held_out_loss"]
    moved = {name for name, value in one.weights().items() if not torch.equal(value, before[name])}
    assert any(name.startswith("objective.text.") for name in moved)
    assert any(name.startswith("tower.") for name in moved) == (towers == "both")
    assert not any("logit_scale" in name for name in moved)


@pytest.mark.parametrize("towers", ["text", "both"])
def test_an_interrupted_run_ends_with_the_same_weights(
    towers: str, split: Split, tmp_path: Path
) -> None:
    data = stored() if towers == "text" else split
    settings = replace(SETTINGS, towers=towers)
    whole = trainer(tmp_path / "whole", settings)
    list(whole.run(data, data))
    cut = trainer(tmp_path / "cut", settings).run(data, data)
    next(cut)
    del cut  # as a kill leaves it
    again = trainer(tmp_path / "cut", settings)
    list(again.run(data, data))
    assert len(again.history) == len(whole.history) == 4
    for name, expected in whole.weights().items():
        torch.testing.assert_close(again.weights()[name], expected, atol=1e-6, rtol=0)


def test_gradients_do_not_depend_on_what_is_held_at_once(split: Split, tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole", replace(SETTINGS, batch_size=6, epochs=1))
    parts = trainer(tmp_path / "parts", replace(SETTINGS, batch_size=6, epochs=1, at_once=2))
    for one in (whole, parts):
        next(one.run(split, split))
    gradients = dict(whole.modules.named_parameters())
    assert any("text" in name and one.grad is not None for name, one in gradients.items())
    for name, parameter in parts.modules.named_parameters():
        expected = gradients[name].grad
        assert (parameter.grad is None) == (expected is None)
        if expected is not None:
            torch.testing.assert_close(parameter.grad, expected, atol=1e-5, rtol=1e-4)


def test_both_towers_have_their_layers_rates(tmp_path: Path) -> None:
    one = trainer(tmp_path)
    groups = parameter_groups(one.tower.trained, one.objective, replace(SETTINGS, layer_decay=0.5))
    peaks = [group["peak"] / SETTINGS.rate for group in groups]
    # Five of the image tower's, and before, two blocks and behind of the text tower's.
    assert peaks == [0.5**n for n in (4, 3, 2, 1, 0)] + [0.5**n for n in (3, 2, 1, 0)]


def test_runs_of_the_image_tower_are_resumed_as_before() -> None:
    assert "towers" not in identity_of(Tuning())
    assert identity_of(Tuning(towers="text"))["towers"] == "text"
