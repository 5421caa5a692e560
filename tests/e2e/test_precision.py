"""`clipdex index --precision int8`: faster, a little off, and never mixed with the full model."""

import json
import shutil
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest

from indexer.errors import CompileError
from support.checkpoints import make_checkpoint
from support.command import Run, json_lines
from support.images import make_photo

pytest.importorskip("onnx")
IMAGES = 48


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("int8") / "photos"
    for number in range(IMAGES):
        make_photo(folder / f"{number:02}.png", number, (200, 160))
    return folder


def vectors(collection: Path) -> dict[str, np.ndarray]:
    """`(n, dim)` by fingerprint, in the order of the contents."""
    connection = sqlite3.connect(collection / "catalogue.sqlite3")
    found: dict[str, list[np.ndarray]] = {}
    for fingerprint, vector in connection.execute(
        "SELECT fingerprint, vector FROM embeddings ORDER BY content"
    ):
        found.setdefault(fingerprint, []).append(np.frombuffer(vector, "<f2").astype(np.float32))
    connection.close()
    return {fingerprint: np.stack(rows) for fingerprint, rows in found.items()}


def test_int8_and_back_to_fp32(clipdex: Run, photos: Path, tmp_path: Path) -> None:
    def index(*options: str) -> tuple[dict[str, int], str]:
        done = clipdex("index", photos, "--json", *options)
        return json_lines(done)[-1], done.stderr.decode()

    assert index()[0]["indexed"] == IMAGES
    report, said = index("--precision", "int8")
    assert report["indexed"] == IMAGES
    assert "times as fast here; cosine" in said
    assert "% of the ten best hits the same, on 36 images" in said  # the others calibrated
    (status,) = json_lines(clipdex("status", "--json"))
    assert status["model"] == "pocket+int8"
    full, rounded = (
        vectors(tmp_path / "collection")[fingerprint]
        for fingerprint in sorted(
            vectors(tmp_path / "collection"), key=lambda one: one == status["fingerprint"]
        )
    )
    cosines = (full * rounded).sum(axis=1)
    assert np.median(cosines) > 0.98
    assert cosines.min() < 0.99999  # they are two models
    assert json_lines(clipdex("search", "a red thing", "-k", "3", "--json"))

    # The collection stays as it is, and making the model again is not needed.
    assert index()[0]["unchanged"] == IMAGES
    report, said = index("--precision", "int8")
    assert report["unchanged"] == IMAGES
    assert "bringing" not in said
    assert "cosine" in said

    assert index("--precision", "fp32")[0]["unchanged"] == IMAGES  # the vectors are still there
    (status,) = json_lines(clipdex("status", "--json"))
    assert status["model"] == "pocket"


@pytest.mark.long
def test_int8_is_refused_where_it_is_not_worth_it(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from indexer.bundles import cache
    from indexer.compile import int8 as made
    from indexer.load import find_bundle

    monkeypatch.setenv("CLIPDEX_CACHE", str(tmp_path))
    base = find_bundle("pocket")
    monkeypatch.setattr(made, "_speedup", lambda *_: 1.02)
    with pytest.raises(CompileError, match=r"only 1\.02 times as fast"):
        made.int8(base, [photos])
    monkeypatch.setattr(made, "_speedup", lambda *_: 2.0)
    monkeypatch.setattr(made, "MIN_LEAST", 0.9999)
    with pytest.raises(CompileError, match="loses too much on your images: cosine 0"):
        made.int8(base, [photos])
    assert cache.read_record("pocket+int8") is None, "nothing of it is left"
    assert list(cache.models_folder().rglob("bundle.json")) == []


def test_int8_of_an_older_clipdex_is_made_anew(clipdex: Run, photos: Path, tmp_path: Path) -> None:
    clipdex("index", photos, "--precision", "int8")
    (status,) = json_lines(clipdex("status", "--json"))
    manifest = tmp_path / "cache" / "models" / status["fingerprint"] / "bundle.json"
    fields = json.loads(manifest.read_text())
    assert fields["quantized"].pop("weight_bits") == 7
    older = tmp_path / "cache" / "models" / ("0" * 32)
    shutil.copytree(manifest.parent, older)
    (older / "bundle.json").write_text(json.dumps({**fields, "fingerprint": "0" * 32}))
    shutil.rmtree(manifest.parent)
    with sqlite3.connect(tmp_path / "collection" / "catalogue.sqlite3") as catalog:
        for table in ("models", "embeddings", "vector_files"):
            catalog.execute(f"UPDATE {table} SET fingerprint = ?", ("0" * 32,))
    catalog.close()
    done = clipdex("index", photos, "--json")
    assert b"one kind of processor" in done.stderr
    assert json_lines(done)[-1]["indexed"] == IMAGES
    (again,) = json_lines(clipdex("status", "--json"))
    assert again["fingerprint"] == status["fingerprint"]
    assert json_lines(clipdex("index", photos, "--json"))[-1]["unchanged"] == IMAGES


def test_weights_leave_room_for_every_processor(photos: Path, tmp_path: Path) -> None:
    """Without VNNI, two products are added in 16 bits: two times 255 x 64 still fit."""
    import onnx
    from onnx import numpy_helper

    from indexer.compile import onnx_graph
    from indexer.compile.int8 import KEPT, sample_pixels
    from indexer.compile.quantize import quantize
    from indexer.images.decode import Limits
    from indexer.load import find_bundle

    base = find_bundle("pocket")
    pixels = sample_pixels([photos], base.image, Limits())
    made = quantize(base, pixels[:8], tmp_path, "x", kept=KEPT[0])
    model = onnx_graph.read(made.folder / "image.onnx")
    weights = [
        numpy_helper.to_array(one)
        for one in model.graph.initializer
        if one.data_type == onnx.TensorProto.INT8 and len(one.dims) > 1
    ]
    assert len(weights) > 50
    assert max(int(np.abs(one.astype(np.int16)).max()) for one in weights) <= 64
    floats = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(floats) == 64


def test_int8_refuses_few_images_and_other_devices(clipdex: Run, tmp_path: Path) -> None:
    make_photo(tmp_path / "few" / "one.png", 1)
    done = clipdex("index", tmp_path / "few", "--precision", "int8", code=1)
    assert b"needs at least 32 of them; 1 could be read" in done.stderr
    assert len(done.stderr.splitlines()) == 2  # what it set out to do, and why not
    clipdex("index", tmp_path / "few", "--precision", "int8", "--device", "cuda", code=2)


def test_int8_calibration_keeps_the_limits(clipdex: Run, photos: Path) -> None:
    options = ("--precision", "int8", "--max-pixels", "1000")
    assert b"0 could be read" in clipdex("index", photos, *options, code=1).stderr


@pytest.mark.long
def test_int8_transformer_needs_no_calibration(tmp_path: Path) -> None:
    from indexer.bundles.samples import sample_images
    from indexer.compile.compiler import compile_model
    from indexer.compile.int8 import measure
    from indexer.compile.quantize import quantize
    from indexer.encoders.onnx_encoder import OnnxEncoder

    base = compile_model(
        make_checkpoint(tmp_path / "checkpoint", {}, {}), tmp_path / "base", name="tiny"
    )
    pixels = np.stack([base.image.pixels(image) for image in sample_images(40)])
    (tmp_path / "int8").mkdir()
    made = quantize(base, pixels[:0], tmp_path / "int8", "tiny+int8")
    assert made.fingerprint != base.fingerprint
    full, rounded = OnnxEncoder(base), OnnxEncoder(made)
    loss = measure(full, rounded, pixels)
    assert loss.cosine_least > 0.99
    texts = ["a dog", "two cats"]
    assert np.array_equal(full.encode_texts(texts), rounded.encode_texts(texts))
    # The metrics, by hand.
    ours, theirs = rounded.encode_images(pixels), full.encode_images(pixels)
    assert loss.cosine_least == pytest.approx(min(a @ b for a, b in zip(ours, theirs, strict=True)))
    assert full.bundle.bank is not None
    shared = [
        len(set(np.argsort(-ours @ caption)[:10]) & set(np.argsort(-theirs @ caption)[:10]))
        for caption in full.bundle.bank
    ]
    assert loss.recall_at_10 == pytest.approx(np.mean(shared) / 10, abs=0.002)  # but for ties


def test_without_the_onnx_package_the_error_names_it(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from indexer.compile.int8 import int8
    from indexer.load import find_bundle

    monkeypatch.setenv("CLIPDEX_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, "indexer.compile.quantize", None)
    with pytest.raises(CompileError, match=r"pip install 'clipdex\[int8\]'"):
        int8(find_bundle("pocket"), [photos])
