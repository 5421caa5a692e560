from pathlib import Path

import pytest

from indexer.errors import ModelNotFound
from indexer.model_name import parse


@pytest.mark.parametrize("name", ["ViT-B-32/openai", "ViT-B-32,openai", "ViT-B-32:openai"])
def test_separators_of_architecture_and_tag(name: str) -> None:
    model_name = parse(name)
    assert (model_name.kind, model_name.arch, model_name.tag) == (
        "pretrained",
        "ViT-B-32",
        "openai",
    )
    assert model_name.name == "ViT-B-32/openai"


def test_each_kind_of_model_name_is_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint, bundle, file = tmp_path / "checkpoint", tmp_path / "bundle", tmp_path / "w.pt"
    checkpoint.mkdir()
    (checkpoint / "open_clip_config.json").touch()
    bundle.mkdir()
    (bundle / "bundle.json").touch()
    file.touch()
    kinds = {
        "pocket": "built-in",
        "hf-hub:org/name": "hub",
        "local-dir:checkpoint": "folder",
        "./checkpoint": "folder",
        "bundle": "bundle",
        str(bundle): "bundle",
        "w.pt": "checkpoint",
        "mine": "added",
    }
    assert {name: parse(name).kind for name in kinds} == kinds
    assert parse("w.pt", "RN50").arch == "RN50"
    assert parse("checkpoint").name == f"local-dir:{checkpoint}"


def test_a_parsed_name_parses_to_the_same_again(tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").touch()
    (tmp_path / "w.safetensors").touch()
    for name in ("pocket", "RN50:openai", "hf-hub:a/b", str(tmp_path), f"{tmp_path}/w.safetensors"):
        model_name = parse(name)
        assert parse(model_name.name) == model_name


@pytest.mark.parametrize(
    ("name", "arch", "said"),
    [
        ("hf-hub:alone", None, "give hf-hub:org/name"),
        ("local-dir:nowhere", None, "open_clip_config.json"),
        ("nowhere/at/all", None, "is not a model"),
        ("gone.safetensors", "RN50", "no such checkpoint"),
        ("pocket", "RN50", "--arch names the architecture of a checkpoint file"),
    ],
)
def test_an_invalid_name_is_a_helpful_error(
    name: str, arch: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFound, match=said):
        parse(name, arch)
