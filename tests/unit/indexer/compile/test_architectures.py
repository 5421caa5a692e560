"""One architecture of each family, with random weights: the bundle against open_clip itself.

test_compiler.py has the families in small. These run with `pytest -m slow --log-cli-level=INFO`,
which also says each cosine; one takes a minute or so.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from indexer.bundles.bundle import Bundle
from indexer.bundles.samples import sample_texts
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.load import find_bundle
from support.local_tokenizers import make_tokenizer

slow = pytest.mark.slow
# (architecture, whether its text may be cut)
FAMILIES = [
    pytest.param("RN50", True, id="RN50", marks=slow),
    pytest.param("ViT-B-16-SigLIP", False, id="ViT-B-16-SigLIP", marks=slow),
    pytest.param("coca_ViT-B-32", False, id="coca_ViT-B-32", marks=slow),
    pytest.param("ViT-B-32", True, id="ViT-B-32", marks=slow),
    pytest.param("MobileCLIP2-S0", False, id="MobileCLIP2-S0", marks=slow),
    pytest.param("convnext_base_w", True, id="convnext_base_w", marks=slow),
    pytest.param("EVA02-B-16", True, id="EVA02-B-16", marks=slow),
]
LENGTHS = (20, 32, 45, 60, 77)


def photos(folder: Path) -> list[Image.Image]:
    """16 images of scikit-image, as RGB."""
    files = sorted(file for file in folder.iterdir() if file.suffix in (".png", ".jpg"))[:16]
    assert len(files) == 16
    return [Image.open(file).convert("RGB") for file in files]


def min_cosines(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """The least cosine of rows, and the same with the mean of `theirs` taken off: random weights
    may give vectors that hardly differ, which the plain cosine would not notice.
    """

    def least(a: np.ndarray, b: np.ndarray) -> float:
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        return float(((a * b).sum(axis=1) / norms).min())

    mean = theirs.mean(axis=0)
    return least(ours, theirs), least(ours - mean, theirs - mean)


def own_tokenizer(arch: str, folder: Path) -> Any:
    import open_clip

    if "SigLIP" not in arch:
        return open_clip.get_tokenizer(arch)
    pytest.importorskip("transformers")
    files = make_tokenizer("siglip", folder)
    return open_clip.tokenizer.HFTokenizer(str(files), context_length=64, clean="canonicalize")


def require_agreement(bundle: Bundle, loaded: Any, images: list[Image.Image]) -> None:
    encoder, texts = OnnxEncoder(bundle), sample_texts()
    pixels = np.stack([bundle.image.pixels(image) for image in images])
    seen = min_cosines(encoder.encode_images(pixels), loaded.encode_images(images))
    whole = encoder.encode_ids(encoder.tokenizer(texts))
    read = min_cosines(whole, loaded.encode_texts(texts))
    logging.getLogger(__name__).info(
        "%s: images %.7f, centred %.6f; texts %.7f, centred %.6f", bundle.name, *seen, *read
    )
    assert min(seen[0], read[0]) >= 0.9999
    assert min(seen[1], read[1]) >= 0.999
    if not bundle.text.cut:
        return
    for length in LENGTHS:
        rows = [
            n for n, text in enumerate(texts) if encoder.tokenizer([text], cut=True).size <= length
        ]
        ids = encoder.tokenizer([texts[n] for n in rows])[:, :length]
        assert len(rows) > 16
        assert np.abs(encoder.encode_ids(ids) - whole[rows]).max() < 1e-5


@pytest.mark.parametrize(("arch", "cut"), FAMILIES)
def test_architectures_compile_to_open_clips_vectors(
    arch: str, cut: bool, sample_photos: Path, tmp_path: Path
) -> None:
    pytest.importorskip("open_clip")
    from benchmarks.random_models import random_model
    from indexer.compile.compiler import compile_model

    loaded = random_model(arch, tokenizer=own_tokenizer(arch, tmp_path / "tokenizer"))
    bundle = compile_model(loaded, tmp_path / "bundle", name=arch)
    assert bundle.text.cut is cut
    require_agreement(bundle, loaded, photos(sample_photos))


@pytest.mark.shared
def test_the_former_built_in_model_is_open_clips(
    development_data: Path, sample_photos: Path
) -> None:
    pytest.importorskip("open_clip")
    from indexer.openclip.loader import fingerprint, load

    loaded = load(f"local-dir:{development_data / 'models' / 'pocket-v0'}")
    bundle = find_bundle("pocket-v0")
    tokenizer = (bundle.folder / "tokenizer.txt").read_text(encoding="utf-8")
    assert bundle.fingerprint == fingerprint(loaded, tokenizer)
    require_agreement(bundle, loaded, photos(sample_photos))
