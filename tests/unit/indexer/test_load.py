"""Names to bundles: what is compiled, kept, found again, and compiled anew."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from indexer.bundles import cache
from indexer.compile.health import check
from indexer.errors import CompileError, ModelNotFound
from indexer.load import find_bundle, known_models, load_encoder, obtain
from support.checkpoints import make_checkpoint


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLIPDEX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tiny_architecture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint's folder, whose architecture open_clip knows as `tiny`."""
    factory = pytest.importorskip("open_clip.factory")
    make_checkpoint(tmp_path / "checkpoint", {}, {})
    config = json.loads((tmp_path / "checkpoint" / "open_clip_config.json").read_text())
    monkeypatch.setitem(factory._MODEL_CONFIGS, "tiny", config["model_cfg"])
    return tmp_path / "checkpoint"


@pytest.mark.long
def test_a_changed_folder_is_compiled_again(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_checkpoint(tmp_path / "checkpoint", {}, {})
    with pytest.raises(ModelNotFound, match="clipdex models add"):
        find_bundle(spec)
    told: list[str] = []
    first = obtain(spec, label="mine", on_progress=told.append)
    assert first.name == "mine"
    assert "exporting the image tower" in told
    assert first.folder == own_cache / "models" / first.fingerprint
    from indexer.compile import compiler as compiling

    with monkeypatch.context() as patch:
        patch.setattr(compiling, "compile_into_cache", None)  # would fail if it were called
        assert load_encoder(spec).fingerprint == first.fingerprint
    assert find_bundle("mine").fingerprint == first.fingerprint
    assert {known.bundle.name for known in known_models()} == {"pocket", "pocket-v0", "mine", spec}
    result = check(find_bundle(spec))
    assert result.good
    assert any("cosine with open_clip at least 1.0000" in finding for finding in result.findings)

    config = tmp_path / "checkpoint" / "open_clip_config.json"
    config.write_text(config.read_text().replace("shortest", "squash"))
    with pytest.raises(ModelNotFound, match="changed"):
        find_bundle(spec)
    assert find_bundle(spec, first.fingerprint).fingerprint == first.fingerprint
    second = obtain(spec)
    assert second.fingerprint != first.fingerprint
    assert second.image.resize_mode == "squash"
    assert find_bundle(spec).fingerprint == second.fingerprint
    assert sorted(path.name for path in (own_cache / "models").iterdir()) == sorted(
        [first.fingerprint, second.fingerprint, "names"]
    )


def test_checkpoint_files(own_cache: Path, tiny_architecture: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    weights = load_file(tiny_architecture / "open_clip_model.safetensors")
    file = tmp_path / "trained.pt"
    torch.save({"state_dict": {f"module.{name}": t for name, t in weights.items()}}, file)
    with pytest.raises(ModelNotFound, match="--arch"):
        obtain(str(file))
    with pytest.raises(ModelNotFound, match="similar ones: tiny"):
        obtain(str(file), arch="tinny")
    with pytest.raises(CompileError, match="do not load"):
        obtain(str(file), arch="RN50")
    bundle = obtain(str(file), arch="tiny")
    record = cache.read_record(str(file))
    assert record is not None
    assert (record.arch, record.fingerprint) == ("tiny", bundle.fingerprint)
    assert find_bundle(str(file)) == bundle

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "run",))

    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"state_dict": Evil()}))
    with pytest.raises(CompileError, match="do not load"):
        obtain(str(tmp_path / "evil.pt"), arch="tiny")
    assert not (tmp_path / "run").exists()


def test_unknown_names_list_the_known_ones(own_cache: Path) -> None:
    pytest.importorskip("open_clip")
    with pytest.raises(ModelNotFound, match="it has: openai, yfcc15m, cc12m"):
        obtain("RN50/nothing")
    with pytest.raises(ModelNotFound, match="similar ones: .*ViT-B-32"):
        obtain("ViT-B-33/openai")
    with pytest.raises(ModelNotFound, match="no such model: 'ViT-B-32'"):
        obtain("ViT-B-32")


@pytest.mark.parametrize("label", ["pocket", "a/b", "hf-hub:a/b", "w.pt", "two words"])
def test_an_added_model_gets_a_name_of_its_own(label: str, own_cache: Path, tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").touch()
    with pytest.raises(ModelNotFound):
        obtain(str(tmp_path), label=label)


def test_a_tag_brings_its_preprocessing_and_activation(tmp_path: Path) -> None:
    pytest.importorskip("open_clip")
    from indexer.hub import Hub
    from indexer.model_name import parse
    from indexer.openclip.sources import find_source

    file = tmp_path / "w.safetensors"
    file.touch()
    plain = find_source(parse(str(file), "ViT-B-32"), Hub())
    assert (plain.preprocess, plain.config.get("quick_gelu")) == ({}, None)
    openai = find_source(parse(str(file), "ViT-B-32,openai"), Hub())
    assert openai.config["quick_gelu"]
    assert openai.tokenizer == "ViT-B-32"
    siglip = find_source(parse(str(file), "ViT-B-16-SigLIP:webli"), Hub())
    assert siglip.preprocess["resize_mode"] == "squash"
    assert siglip.tokenizer_folder is None
    (tmp_path / "tokenizer.json").touch()
    assert find_source(parse(str(file), "ViT-B-32"), Hub()).tokenizer_folder == tmp_path


def test_recommended_models_are_open_clips() -> None:
    open_clip = pytest.importorskip("open_clip")
    from indexer.bundles.recommended import RECOMMENDED

    known = {"/".join(pair) for pair in open_clip.list_pretrained()}
    assert {one.name for one in RECOMMENDED} - {"pocket"} <= known
