"""Compiled models put together again in torch, from their graphs or from what they came from."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("open_clip")

from indexer.bundles.bundle import Bundle  # noqa: E402
from indexer.errors import ModelError  # noqa: E402
from indexer.load import obtain  # noqa: E402
from indexer.model_name import BUILT_IN_FOLDER  # noqa: E402
from indexer.openclip import image_tower_cache  # noqa: E402
from indexer.openclip.loader import load  # noqa: E402
from indexer.weights.full_model import obtain_model  # noqa: E402
from indexer.weights.image_tower import require_same_vectors, tower_from_graph  # noqa: E402
from indexer.weights.text_tower import require_same_texts, text_from_graph  # noqa: E402
from support.checkpoints import make_checkpoint  # noqa: E402

POCKET = Bundle.load(BUILT_IN_FOLDER)
BOTH_WAYS = {"no_causal_mask": True, "pool_type": "last"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLIPDEX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_built_in_model_is_whole_again() -> None:
    model = obtain_model(POCKET)
    assert require_same_vectors(model.visual, POCKET) >= 0.99999
    assert require_same_texts(model, POCKET) >= 0.99999
    assert float(model.logit_scale.detach().exp()) == pytest.approx(POCKET.logit_scale)
    assert not model.training
    assert {one.dtype for one in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("text", [{}, BOTH_WAYS], ids=["cut", "uncut"])
def test_weights_of_graphs_are_the_models(
    text: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_checkpoint(tmp_path / "checkpoint", text, {}, trained=True)
    bundle = obtain(spec)
    assert bundle.text.cut == (not text)
    own = load(spec).model.state_dict()
    shutil.rmtree(tmp_path / "checkpoint")
    for name, one in obtain_model(bundle).state_dict().items():
        assert torch.allclose(one, own[name], atol=1e-6), name


def test_shared_weights_are_read_from_the_source(
    tmp_path: Path,
) -> None:
    spec = make_checkpoint(tmp_path / "checkpoint", {}, {})  # all its biases are zeros
    bundle = obtain(spec)
    for take in (text_from_graph, tower_from_graph):
        with pytest.raises(ModelError, match="for several layers"):
            take(bundle)
    model = obtain_model(bundle)
    assert require_same_texts(model, bundle) >= 0.9999
    shutil.rmtree(tmp_path / "checkpoint")
    with pytest.raises(ModelError, match="cannot be loaded for torch"):
        obtain_model(bundle)


def test_a_different_text_tower_is_refused() -> None:
    model = text_from_graph(POCKET)
    with torch.no_grad():
        model.ln_final.bias.add_(torch.from_numpy(np.linspace(0, 1, 256, dtype=np.float32)))
    with pytest.raises(ModelError, match="differs from its bundle"):
        require_same_texts(model, POCKET)
    deeper = {**POCKET.architecture["text_cfg"], "layers": 5}
    with pytest.raises(ModelError, match=r"text tower of pocket .* do not fit"):
        text_from_graph(replace(POCKET, architecture={**POCKET.architecture, "text_cfg": deeper}))


def test_an_unavailable_model_has_a_reason() -> None:
    with pytest.raises(ModelError, match="8-bit"):
        obtain_model(replace(POCKET, quantized={"base": POCKET.fingerprint}))
    with pytest.raises(ModelError, match="does not name its architecture"):
        obtain_model(replace(POCKET, architecture={}))


def test_a_cached_image_tower_is_used() -> None:
    tower = tower_from_graph(POCKET)
    image_tower_cache.save_tower(tower, POCKET.architecture, POCKET.fingerprint)
    model = obtain_model(POCKET)
    assert all(
        torch.equal(one, model.visual.state_dict()[name])
        for name, one in tower.state_dict().items()
    )
