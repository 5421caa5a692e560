"""Two processes with torch on the CPU, as there would be one for each of two GPUs."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from indexer import build
from indexer.bundles.bundle import Bundle
from indexer.bundles.names import BUILT_IN_FOLDER
from indexer.encoders.gpu.pool import DeviceEncoder
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.images.decode import Limits, decode
from search import Engine

pytest.importorskip("open_clip")

POCKET = Bundle.load(BUILT_IN_FOLDER)


@pytest.fixture(scope="module")
def devices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeviceEncoder]:
    """An encoder of two processes, prepared; what it told is its `told`."""
    told: list[str] = []
    before = os.environ.get("CLIPDEX_CACHE")
    os.environ["CLIPDEX_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    with DeviceEncoder(POCKET, ("cpu", "cpu"), on_progress=told.append) as encoder:
        encoder.prepare(26)
        encoder.told = told  # type: ignore[attr-defined]
        yield encoder
    if before is None:
        del os.environ["CLIPDEX_CACHE"]
    else:
        os.environ["CLIPDEX_CACHE"] = before


@pytest.fixture(scope="module")
def photos(sample_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """scikit-image's photos, a copy of one, and a file that is none."""
    folder = tmp_path_factory.mktemp("photos")
    for photo in (*sample_photos.glob("*.png"), *sample_photos.glob("*.jpg")):
        shutil.copy(photo, folder)
    shutil.copy(sample_photos / "chelsea.png", folder / "zz-again.png")
    (folder / "bad.jpg").write_text("no image")
    return folder


def pixels_of(folder: Path) -> np.ndarray:
    files = [file for file in sorted(folder.iterdir()) if file.name != "bad.jpg"]
    images = [decode(file.read_bytes(), Limits(), at_least=POCKET.image.size) for file in files]
    return np.stack([POCKET.image.pixels(one.image) for one in images])


def test_two_processes_give_the_vectors_of_one_encoder_in_order(
    devices: DeviceEncoder, photos: Path
) -> None:
    from indexer.encoders.torch_encoder import runner_of

    assert devices.told == ["2 GPUs (cpu, cpu), 7 images a batch, fp32"]  # type: ignore[attr-defined]
    pixels = pixels_of(photos)
    alone = runner_of(POCKET, "cpu")
    theirs = alone.encode_images(pixels)
    batches = [pixels[at : at + 5] for at in range(0, len(pixels), 5)]
    with ThreadPoolExecutor(devices.lanes) as lanes:
        ours = np.concatenate(list(lanes.map(devices.encode_images, batches)))
    assert np.abs(ours - theirs).max() < 1e-5
    bundle = OnnxEncoder(POCKET, device="cpu").encode_images(pixels)
    assert (ours * bundle).sum(axis=1).min() >= 0.9999


def test_a_collection_made_by_processes_is_the_cpus(
    devices: DeviceEncoder, photos: Path, tmp_path: Path
) -> None:
    theirs = OnnxEncoder(POCKET, device="cpu", threads=2)
    reports = [
        build([photos], collection=tmp_path / name, encoder=encoder)
        for name, encoder in (("gpu", devices), ("cpu", theirs))
    ]
    assert [(one.indexed, one.reused, one.failed) for one in reports] == [(26, 1, 1)] * 2
    vectors = []
    for name in ("gpu", "cpu"):
        connection = sqlite3.connect(tmp_path / name / "catalogue.sqlite3")
        rows = connection.execute(
            "SELECT hash, vector FROM contents JOIN embeddings ON content = id ORDER BY hash"
        ).fetchall()
        connection.close()
        vectors.append(np.stack([np.frombuffer(row[1], "<f2").astype(np.float32) for row in rows]))
    norms = np.prod([np.linalg.norm(one, axis=1) for one in vectors], axis=0)
    assert ((vectors[0] * vectors[1]).sum(axis=1) / norms).min() >= 0.9999
    for query in ("a cat", "a cup of coffee", "a rocket", "the moon"):
        found = []
        for name in ("gpu", "cpu"):
            with Engine.open(tmp_path / name) as engine:
                found.append([hit.paths[0] for hit in engine.search(query, k=5)])
        assert found[0] == found[1]


def test_the_built_in_model_takes_the_half_precision_that_keeps_its_vectors(photos: Path) -> None:
    from indexer.encoders.torch_encoder import Metadata, TorchEncoder
    from indexer.weights.image_tower import tower_from_graph

    bundle = OnnxEncoder(POCKET, device="cpu", threads=2)
    metadata = Metadata("pocket", POCKET.fingerprint, POCKET.dim, POCKET.image, bundle.encode_texts)
    encoder = TorchEncoder(tower_from_graph(POCKET), metadata, precision="bf16")
    pixels = pixels_of(photos)
    full = bundle.encode_images(pixels)
    bf16 = (encoder.encode_images(pixels) * full).sum(axis=1)
    # Rounded to eight bits, a network of 60 convolutions moves pale images too far.
    assert bf16.min() < 0.999
    assert encoder.settle_precision() >= 0.999
    assert encoder.precision == "fp16"
    palest = np.argsort(bf16)[:6]  # fp16 is slow on a CPU
    fp16 = (encoder.encode_images(pixels[palest]) * full[palest]).sum(axis=1)
    assert fp16.min() >= 0.999
