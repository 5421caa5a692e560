"""Graphs read back from a bundle's files, whatever those files' links."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

from indexer.bundles.bundle import Bundle
from indexer.bundles.samples import sample_images
from indexer.compile import onnx_graph
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.errors import BundleError
from indexer.model_name import BUILT_IN_FOLDER


@pytest.fixture
def linked(tmp_path: Path) -> Bundle:
    """The built-in model, each of whose files has two links."""
    folder = tmp_path / "linked"
    shutil.copytree(BUILT_IN_FOLDER, folder)
    for file in list(folder.iterdir()):
        os.link(file, tmp_path / f"another-{file.name}")
    return Bundle.load(folder)


def test_a_tower_is_taken_from_files_with_two_links(linked: Bundle) -> None:
    pytest.importorskip("open_clip")
    from indexer.weights.image_tower import tower_from_graph

    assert sum(one.numel() for one in tower_from_graph(linked).parameters()) > 1e6


def test_a_hard_linked_bundle_is_quantized(linked: Bundle, tmp_path: Path) -> None:
    from indexer.compile.quantize import quantize

    pixels = np.stack([linked.image.pixels(image) for image in sample_images(4)])
    (tmp_path / "int8").mkdir()
    made = quantize(linked, pixels, tmp_path / "int8", "linked+int8")
    assert (made.folder / "text.onnx.data").stat().st_nlink == 1
    full, rounded = (OnnxEncoder(one, device="cpu").encode_images(pixels) for one in (linked, made))
    assert (full * rounded).sum(1).min() > 0.9


def test_weights_outside_the_folder_are_refused(linked: Bundle) -> None:
    graph = linked.folder / "text.onnx"
    plain = graph.read_bytes()
    for stranger in (b"../t.onnx.data", b"/ext.onnx.data", b"..\\t.onnx.data"):
        graph.write_bytes(plain.replace(b"text.onnx.data", stranger))
        with pytest.raises(BundleError, match="not one beside the graph"):
            onnx_graph.read(graph)


def test_damaged_files_are_named(linked: Bundle) -> None:
    data = linked.folder / "text.onnx.data"
    os.truncate(data, 1000)
    with pytest.raises(BundleError, match=r"text\.onnx\.data ends within"):
        onnx_graph.read(linked.folder / "text.onnx")
    data.unlink()
    with pytest.raises(BundleError, match="cannot be read"):
        onnx_graph.read(linked.folder / "text.onnx")
    graph = linked.folder / "image.onnx"
    graph.write_bytes(graph.read_bytes()[:1000])
    with pytest.raises(BundleError, match="cannot be read"):
        onnx_graph.read(graph)
