"""`clipdex models export`, read back by open_clip itself."""

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")

from indexer.bundles.samples import sample_images, sample_texts  # noqa: E402
from indexer.load import load_encoder, obtain  # noqa: E402
from indexer.weights.export import export  # noqa: E402
from support.checkpoints import make_checkpoint, make_transformers_checkpoint  # noqa: E402
from support.command import Run, json_lines  # noqa: E402

IMAGES, TEXTS = sample_images(6), sample_texts()


def by_open_clip(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of the sample images and texts, by nothing but open_clip."""
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    model.eval()
    with torch.inference_mode():
        return (
            model.encode_image(torch.stack([preprocess(i) for i in IMAGES]), normalize=True),
            model.encode_text(tokenizer(TEXTS), normalize=True),
        )


def by_clipdex(name: str) -> tuple[np.ndarray, np.ndarray]:
    encoder = load_encoder(name, device="cpu")
    pixels = np.stack([encoder.preprocess.pixels(image) for image in IMAGES])
    return encoder.encode_images(pixels), encoder.encode_texts(TEXTS)


def min_cosine(one: tuple[np.ndarray, ...], other: tuple[np.ndarray, ...]) -> float:
    return min(
        float((np.asarray(a) * np.asarray(b)).sum(1).min()) for a, b in zip(one, other, strict=True)
    )


def test_export_to_open_clip_and_back(
    clipdex: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "new" / "pocket"
    (report,) = json_lines(clipdex("models", "export", "pocket", folder, "--json"))
    assert {file.name for file in folder.iterdir()} == {
        "open_clip_config.json",
        "open_clip_model.safetensors",
    }
    assert len({file.stat().st_mode for file in folder.iterdir()}) == 1  # who reads one reads both
    assert report["bytes"] == sum(file.stat().st_size for file in folder.iterdir())
    assert [one.name for one in folder.parent.iterdir()] == ["pocket"]
    own = by_clipdex("pocket")
    assert min_cosine(own, by_open_clip(folder)) > 0.9999
    clipdex("models", "add", folder, "--name", "again")
    monkeypatch.setenv("CLIPDEX_CACHE", str(tmp_path / "cache"))
    assert min_cosine(own, by_clipdex("again")) > 0.99999
    done = clipdex("models", "export", "pocket", folder, code=1)
    assert b"exists already" in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.long
def test_half_precision_halves_the_file(clipdex: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = clipdex("models", "export", "pocket", "empty", "--half")
    assert done.stdout.startswith(b"empty  pocket, 45 MB, cosine 0.99")
    assert min_cosine(by_clipdex("pocket"), by_open_clip(tmp_path / "empty")) > 0.999


def test_a_tuned_model_is_written_with_its_own_tower(
    clipdex: Run, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clipdex("models", "export", "mine", "written", env={"CLIPDEX_CACHE": str(tuned / "cache")})
    monkeypatch.setenv("CLIPDEX_CACHE", str(tuned / "cache"))
    assert min_cosine(by_clipdex("mine"), by_open_clip(tmp_path / "written")) > 0.9999


@pytest.mark.parametrize("kind", ["xlm-roberta", "nllb"])
def test_a_tokenizer_of_transformers_goes_along(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPDEX_CACHE", str(tmp_path / "cache"))
    bundle = obtain(make_transformers_checkpoint(tmp_path / "checkpoint", kind), label="foreign")
    export(bundle, tmp_path / "written")
    assert (tmp_path / "written" / "tokenizer.json").is_file()
    assert min_cosine(by_clipdex("foreign"), by_open_clip(tmp_path / "written")) > 0.9999


def test_settings_that_are_not_the_usual_ones_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPDEX_CACHE", str(tmp_path / "cache"))
    spec = make_checkpoint(
        tmp_path / "checkpoint",
        {},
        {"resize_mode": "longest", "interpolation": "bilinear", "fill_color": 77},
        trained=True,
    )
    export(obtain(spec, label="padded"), tmp_path / "written")
    settings = json.loads((tmp_path / "written" / "open_clip_config.json").read_text())
    assert settings["preprocess_cfg"]["fill_color"] == 77
    assert min_cosine(by_clipdex("padded"), by_open_clip(tmp_path / "written")) > 0.9999


def test_a_failed_export_leaves_nothing(clipdex: Run, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    assert b"exists already" in clipdex("models", "export", "pocket", "full", code=1).stderr
    assert b"has not been compiled here" in (
        clipdex("models", "export", "ViT-B-32/openai", "new", code=1).stderr
    )
    assert sorted(one.name for one in tmp_path.iterdir()) == ["full"]
