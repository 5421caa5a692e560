"""Where a GPU's image tower comes from, and how it is kept."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("open_clip")

from indexer.bundles import cache  # noqa: E402
from indexer.bundles.bundle import Bundle  # noqa: E402
from indexer.errors import ModelError  # noqa: E402
from indexer.load import find_bundle, obtain  # noqa: E402
from indexer.model_name import BUILT_IN_FOLDER, BUILT_INS, FORMER  # noqa: E402
from indexer.openclip.image_tower_cache import read_tower  # noqa: E402
from indexer.weights.image_tower import require_same_vectors, tower_from_graph  # noqa: E402
from indexer.weights.load_tower import obtain_tower  # noqa: E402
from support.checkpoints import make_checkpoint  # noqa: E402

POCKET = Bundle.load(BUILT_IN_FOLDER)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLIPDEX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_built_in_tower_is_rebuilt_and_cached(own_cache: Path) -> None:
    tower = obtain_tower(POCKET)
    assert require_same_vectors(tower, POCKET) >= 0.99999
    folder = own_cache / "models" / POCKET.fingerprint / "torch"
    assert {file.name for file in folder.iterdir()} == {
        "open_clip_config.json",
        "visual.safetensors",
    }
    kept = read_tower(POCKET.fingerprint)
    assert kept is not None
    assert all(
        torch.equal(one, tower.state_dict()[name]) for name, one in kept.state_dict().items()
    )
    assert require_same_vectors(kept, POCKET) >= 0.99999


def test_a_graph_that_does_not_fit_is_refused() -> None:
    wider = {**POCKET.architecture, "embed_dim": 256}
    with pytest.raises(ModelError, match="do not fit"):
        tower_from_graph(replace(POCKET, architecture=wider))
    deeper = {**POCKET.architecture["vision_cfg"], "timm_model_name": "tf_efficientnet_lite3"}
    with pytest.raises(ModelError, match="do not fit"):
        tower_from_graph(
            replace(POCKET, architecture={**POCKET.architecture, "vision_cfg": deeper})
        )
    with pytest.raises(ModelError, match="does not name its architecture"):
        tower_from_graph(replace(POCKET, architecture={}))


def test_a_tower_with_different_vectors_is_refused() -> None:
    tower = tower_from_graph(POCKET)
    with torch.no_grad():
        next(tower.parameters()).mul_(1.5)
    with pytest.raises(ModelError, match="differs from its bundle"):
        require_same_vectors(tower, POCKET)


def test_damaged_files_are_not_used_and_made_anew(own_cache: Path) -> None:
    obtain_tower(POCKET)
    weights = own_cache / "models" / POCKET.fingerprint / "torch" / "visual.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert read_tower(POCKET.fingerprint) is None
    obtain_tower(POCKET)
    assert read_tower(POCKET.fingerprint) is not None
    config = weights.with_name("open_clip_config.json")
    config.write_text("{")
    assert read_tower(POCKET.fingerprint) is None
    config.write_text(json.dumps({"model_cfg": {}, "fingerprint": "another", "blake3": ""}))
    assert read_tower(POCKET.fingerprint) is None


def test_a_tower_is_loaded_from_its_source_once(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_checkpoint(tmp_path / "checkpoint", {}, {})
    bundle = obtain(spec, label="mine")
    assert bundle.architecture["embed_dim"] == 48
    assert read_tower(bundle.fingerprint) is None
    tower = obtain_tower(find_bundle("mine"))
    assert require_same_vectors(tower, bundle) >= 0.9999
    shutil.rmtree(tmp_path / "checkpoint")
    again = obtain_tower(bundle)
    assert np.array_equal(
        *(next(one.parameters()).detach().numpy() for one in (tower, again)),
    )


def test_a_source_that_has_changed_is_refused(tmp_path: Path) -> None:
    spec = make_checkpoint(tmp_path / "checkpoint", {}, {})
    bundle = obtain(spec)
    config = tmp_path / "checkpoint" / "open_clip_config.json"
    config.write_text(config.read_text().replace("shortest", "squash"))
    with pytest.raises(ModelError, match="is not the model that was compiled here"):
        obtain_tower(bundle)
    shutil.rmtree(tmp_path / "checkpoint")
    with pytest.raises(ModelError, match="cannot be loaded for torch"):
        obtain_tower(bundle)


def test_a_bundle_without_a_source_says_so(tmp_path: Path) -> None:
    foreign = replace(POCKET, name="foreign", architecture={})
    with pytest.raises(ModelError, match="no weights for torch.*--device cpu"):
        obtain_tower(foreign)


def test_compiling_keeps_the_tower_where_a_gpu_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from indexer.devices import detect

    monkeypatch.setattr(detect, "cuda_devices", lambda: 1)
    bundle = obtain(make_checkpoint(tmp_path / "checkpoint", {}, {}))
    kept = read_tower(bundle.fingerprint)
    assert kept is not None
    assert require_same_vectors(kept, bundle) >= 0.9999
    assert cache.find_fingerprint(bundle.fingerprint) is not None


@pytest.mark.shared
def test_the_former_built_in_tower_is_its_checkpoints(development_data: Path) -> None:
    from indexer.openclip.loader import load

    loaded = load(f"local-dir:{development_data / 'models' / 'pocket-v0'}")
    former = Bundle.load(BUILT_INS[FORMER])
    assert loaded.config == former.architecture
    assert require_same_vectors(loaded.model.visual, former) >= 0.9999
