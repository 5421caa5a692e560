"""On a real NVIDIA GPU: `pytest -m gpu`. What a CPU can prove is proved in the other modules."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indexer import build
from indexer.bundles.bundle import Bundle
from indexer.bundles.samples import sample_images
from indexer.encoders.gpu.pool import GpuEncoder
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.load import load_torch
from indexer.model_name import BUILT_IN_FOLDER

pytestmark = pytest.mark.gpu
POCKET = Bundle.load(BUILT_IN_FOLDER)


@pytest.fixture(autouse=True)
def torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device here")
    monkeypatch.setenv("CLIPDEX_CACHE", str(tmp_path / "cache"))
    return torch


@pytest.fixture
def pixels() -> np.ndarray:
    return np.stack([POCKET.image.pixels(image) for image in sample_images(32)])


def encoder(precision: Any = None, **options: Any) -> Any:
    from indexer.encoders.gpu.torch_encoder import TorchEncoder
    from indexer.weights.image_tower import tower_from_graph

    return TorchEncoder(
        POCKET, tower_from_graph(POCKET), device="cuda", precision=precision, **options
    )


@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.9999), ("fp16", 0.999)])
def test_vectors_are_the_bundles(precision: str, least: float, pixels: np.ndarray) -> None:
    ours = encoder(precision, batch_size=12).encode_images(pixels)
    theirs = OnnxEncoder(POCKET, device="cpu").encode_images(pixels)
    assert (ours * theirs).sum(axis=1).min() >= least


def test_the_precision_that_is_settled_keeps_the_vectors() -> None:
    assert encoder().settle_precision() >= 0.999


def test_pinned_batches_have_the_same_vectors(torch: Any, pixels: np.ndarray) -> None:
    one = encoder("fp32", batch_size=8)
    pinned = torch.from_numpy(pixels).pin_memory()
    assert np.allclose(one.encode(pinned), one.encode_images(pixels), atol=1e-4)


def test_memory_that_runs_out_halves_the_batch(torch: Any, pixels: np.ndarray) -> None:
    one = encoder("fp32", batch_size=1024)
    expected = one.encode_images(pixels)
    batch = np.tile(pixels, (32, 1, 1, 1))
    torch.cuda.empty_cache()
    used = torch.cuda.memory_reserved() + 2**30
    torch.cuda.set_per_process_memory_fraction(used / torch.cuda.mem_get_info()[1])
    try:
        vectors = one.encode_images(batch)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert one.batch_size < 1024
    assert np.allclose(vectors, np.tile(expected, (32, 1)), atol=1e-4)


def test_a_collection_made_on_the_gpu_is_searchable(sample_photos: Path, tmp_path: Path) -> None:
    from search import Engine

    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("chelsea.png", "coffee.png", "rocket.jpg"):
        shutil.copy(sample_photos / name, photos)
    told: list[str] = []
    with GpuEncoder(POCKET, ("cuda:0",), load_torch, on_progress=told.append) as devices:
        assert build([photos], collection=tmp_path / "c", encoder=devices).indexed == 3
    assert told[0].startswith("1 GPU (cuda:0)")
    with Engine.open(tmp_path / "c") as engine:
        assert engine.search("a cat", k=1)[0].paths[0].endswith("chelsea.png")
