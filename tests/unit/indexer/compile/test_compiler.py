"""Bundles against open_clip itself: small models made here, and the built-in one."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indexer.bundles.bundle import Bundle
from indexer.bundles.samples import sample_images, sample_texts
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.errors import BundleError, CompileError, ModelNotFound
from indexer.load import find_bundle
from indexer.model_name import BUILT_IN_FOLDER
from support.checkpoints import VISION, make_checkpoint, make_transformers_checkpoint

# The families of image towers that are not transformers, as small as they can be.
RESNET = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "head_width": 64}
TIMM = {
    "image_size": 64,
    "timm_model_name": "test_efficientnet",
    "timm_model_pretrained": False,
    "timm_pool": "",
    "timm_proj": "linear",
}


def cosines(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return (ours * theirs).sum(axis=1) / norms


@pytest.mark.parametrize(
    ("text", "preprocess", "vision", "cut"),
    [
        ({}, {}, VISION, True),
        pytest.param(
            {"no_causal_mask": True, "pool_type": "last"},
            {"resize_mode": "squash"},
            VISION,
            False,
            marks=pytest.mark.long,
        ),
        ({}, {}, RESNET, True),
        ({}, {}, TIMM, True),
    ],
    ids=["causal", "bidirectional", "resnet", "timm"],
)
def test_a_compiled_model_is_open_clips(
    text: dict[str, Any],
    preprocess: dict[str, Any],
    vision: dict[str, Any],
    cut: bool,
    tmp_path: Path,
) -> None:
    spec = make_checkpoint(tmp_path / "checkpoint", text, preprocess, vision=vision)
    from indexer.compile.compiler import compile_model
    from indexer.openclip.loader import load

    bundle = compile_model(spec, tmp_path / "bundle", name="tiny")
    assert (bundle.dim, bundle.text.cut) == (48, cut)
    found = find_bundle(str(tmp_path / "bundle"))
    assert found == replace(bundle, name=str(tmp_path / "bundle"))
    loaded, encoder = load(spec), OnnxEncoder(bundle)
    images = sample_images(5)
    pixels = np.stack([bundle.image.pixels(image) for image in images])
    assert cosines(encoder.encode_images(pixels), loaded.encode_images(images)).min() > 0.99999
    texts = sample_texts()
    theirs = loaded.encode_texts(texts)
    assert cosines(encoder.encode_texts(texts), theirs).min() > 0.99999
    for text_one, vector in zip(texts[:8], theirs, strict=False):
        assert np.abs(encoder.encode_texts([text_one])[0] - vector).max() < 1e-5


@pytest.mark.parametrize(
    "kind",
    [
        "xlm-roberta",
        pytest.param("nllb", marks=pytest.mark.long),
        pytest.param("mt5", marks=pytest.mark.long),
    ],
)
def test_transformers_text_towers_equal_open_clips(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("open_clip")
    spec = make_transformers_checkpoint(tmp_path / "checkpoint", kind)
    from indexer.compile.compiler import compile_model
    from indexer.openclip.loader import load

    bundle = compile_model(spec, tmp_path / "bundle", name=kind)
    assert (bundle.text.kind, bundle.text.cut) == ("huggingface", False)
    assert (bundle.folder / "tokenizer.json").is_file()
    texts = sample_texts()
    theirs = load(spec).encode_texts(texts)
    ours = OnnxEncoder(bundle).encode_texts(texts)
    assert cosines(ours - theirs.mean(axis=0), theirs - theirs.mean(axis=0)).min() > 0.9999


def test_fingerprint_depends_on_weights_and_settings(tmp_path: Path) -> None:
    pytest.importorskip("open_clip")
    from indexer.openclip.loader import fingerprint, load

    plain = load(make_checkpoint(tmp_path / "a", {}, {}))
    squash = load(make_checkpoint(tmp_path / "b", {}, {"resize_mode": "squash"}))
    again = load(f"local-dir:{tmp_path / 'a'}")
    assert fingerprint(plain, "a b") == fingerprint(again, "a b")
    assert fingerprint(plain, "a b") != fingerprint(squash, "a b")
    assert fingerprint(plain, "a b") != fingerprint(plain, "a c")
    again.model.logit_scale.data += 1e-3
    assert fingerprint(plain, "a b") != fingerprint(again, "a b")


def test_a_bundle_that_differs_from_open_clip_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_checkpoint(tmp_path / "checkpoint", {}, {})
    from indexer.compile import onnx_export
    from indexer.compile.compiler import compile_model

    real = onnx_export.ImageTower.forward
    monkeypatch.setattr(
        onnx_export.ImageTower, "forward", lambda self, pixels: real(self, pixels).roll(1, dims=1)
    )
    with pytest.raises(CompileError, match="differs from open_clip"):
        compile_model(spec, tmp_path / "bundle", name="tiny")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint"]


def test_an_unknown_model_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("open_clip")
    from indexer.compile.compiler import compile_model

    with pytest.raises(ModelNotFound, match="local-dir:FOLDER"):
        compile_model("ViT-Z-99", tmp_path / "bundle", name="x")


def test_damaged_bundles_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="it has no bundle.json"):
        Bundle.load(tmp_path)
    (tmp_path / "bundle.json").write_text('{"format": 99}')
    with pytest.raises(BundleError, match="format 99"):
        Bundle.load(tmp_path)
    (tmp_path / "bundle.json").write_text('{"format": 1}')
    with pytest.raises(BundleError, match="fingerprint"):
        Bundle.load(tmp_path)
    shutil.copy(BUILT_IN_FOLDER / "bundle.json", tmp_path)
    with pytest.raises(BundleError, match="lacks image.onnx"):
        Bundle.load(tmp_path)
