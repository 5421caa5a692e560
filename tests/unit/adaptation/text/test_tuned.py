"""A small text tower and its head, trained together."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adaptation.text.examples import LabelledTexts, read_labelled_texts
from adaptation.text.huggingface_files import EncoderFiles
from adaptation.text.settings import TUNED
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.errors import ExamplesError
from support.text_encoders import TEXTS, make_encoder, topics, write_csv

pytest.importorskip("transformers", reason="transformers is not installed")

import torch

from adaptation.text.huggingface import HuggingFaceSource
from adaptation.text.tuned import tune_text


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> HuggingFaceSource:
    folder = make_encoder(tmp_path_factory.mktemp("made") / "encoder")
    return HuggingFaceSource(EncoderFiles("small", folder, folder), 32)


@pytest.fixture
def examples(tmp_path: Path) -> LabelledTexts:
    return read_labelled_texts(topics(tmp_path / "topics.csv"))


def test_full_tuning_moves_the_tower_and_learns(
    source: HuggingFaceSource, examples: LabelledTexts, tmp_path: Path
) -> None:
    settings = replace(TUNED["full"], epochs=8, rate=5e-3, head_rate=5e-2)
    found = tune_text(source, examples, settings, tmp_path / "run")
    assert found.epochs[-1]["loss"] < 0.75 * found.epochs[0]["loss"]
    before = source.tower(random=False).model.state_dict()
    after = found.tower.model.state_dict()
    assert before.keys() == after.keys()
    assert found.learnt == sum(one.numel() for one in found.tower.model.parameters())
    assert len(found.held_out) == 6
    assert found.logits.shape == (6, 3)
    again = tune_text(source, examples, settings, tmp_path / "again")
    np.testing.assert_array_equal(found.head.arrays["weights"], again.head.arrays["weights"])


def test_lora_trains_a_small_part_and_is_merged(
    source: HuggingFaceSource, examples: LabelledTexts, tmp_path: Path
) -> None:
    settings = replace(TUNED["lora"], epochs=6, rate=3e-2)
    found = tune_text(source, examples, settings, tmp_path)
    # Query, key, value and output of two blocks, 32 x 32 each, as products of rank 4.
    assert found.learnt == 2 * 4 * (32 + 32) * 4
    before = source.tower(random=False).model.state_dict()
    after = found.tower.model.state_dict()
    assert before.keys() == after.keys()
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert all("attention" in name and name.endswith("weight") for name in moved)


def test_an_epoch_must_be_better_than_the_start(
    source: HuggingFaceSource, examples: LabelledTexts, tmp_path: Path
) -> None:
    wild = replace(TUNED["full"], epochs=2, rate=5.0, head_rate=50.0, warmup=0.0)
    found = tune_text(source, examples, wild, tmp_path)
    before = source.tower(random=False).model.state_dict()
    for name, value in found.tower.model.state_dict().items():
        torch.testing.assert_close(value, before[name])


def test_scratch_starts_from_random_weights(
    source: HuggingFaceSource, examples: LabelledTexts, tmp_path: Path
) -> None:
    found = tune_text(source, examples, replace(TUNED["scratch"], epochs=1, seed=1), tmp_path)
    words = "embeddings.word_embeddings.weight"
    before = source.tower(random=False).model.state_dict()[words]
    assert (found.tower.model.state_dict()[words] - before).abs().mean() > 0.01


def test_a_class_of_one_text_cannot_be_tuned_with(
    source: HuggingFaceSource, tmp_path: Path
) -> None:
    rows = [("a", "x"), ("b", "x"), ("c", "y")]
    lone = read_labelled_texts(write_csv(tmp_path / "lone.csv", rows))
    with pytest.raises(ExamplesError, match="at least two different texts"):
        tune_text(source, lone, TUNED["full"], tmp_path)


def test_the_compiled_tower_has_torchs_vectors(source: HuggingFaceSource, tmp_path: Path) -> None:
    tower = source.tower(random=False)
    with torch.no_grad():  # as training may have moved it, or not
        for number, weights in enumerate(tower.model.parameters()):
            drawn = torch.Generator().manual_seed(number)
            weights.add_(0.02 * torch.randn(weights.shape, generator=drawn))
    folder = tmp_path / "encoder"
    folder.mkdir()
    bundle = source.write(tower, folder, "small", {})
    encoder = OnnxEncoder(bundle, device="cpu")
    texts = [one for own in TEXTS.values() for one in own]
    ours = encoder.encode_texts(texts)
    rows = []
    for text in texts:  # by transformers' own model, without padding
        ids = torch.tensor([[one for one in source.ids([text])[0] if one != source.pad]])
        with torch.inference_mode():
            states = tower.model(input_ids=ids).last_hidden_state[0]
        rows.append(torch.nn.functional.normalize(states.mean(dim=0), dim=0).numpy())
    np.testing.assert_allclose(ours, np.stack(rows), atol=1e-5)
    assert bundle.fingerprint != source.write(None, _empty(tmp_path / "b"), "b", {}).fingerprint


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder
