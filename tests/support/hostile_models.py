"""Bundles, heads and concepts that someone has damaged or made to do harm."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from adaptation.artifact_writer import save
from indexer.bundles.bundle import Bundle
from indexer.bundles.checksums import digests
from indexer.model_name import BUILT_IN_FOLDER, MANIFEST
from search.labels.artifact import manifest_digest

DIM = 512
DEEP = "[" * 100_000 + "]" * 100_000
CLASSES = ("cat", "dog", "bird")


def copy_of_pocket(folder: Path, **changes: Any) -> Path:
    """A copy of the built-in model, with other entries in its manifest."""
    shutil.copytree(BUILT_IN_FOLDER, folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, **changes}))
    return folder


def resum(folder: Path) -> None:
    """Give a bundle the checksums of its files as they are, as its maker could."""
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["checksums"] = digests(Bundle.load(folder))
    (folder / MANIFEST).write_text(json.dumps(manifest))


def fill(file: Path, byte: int) -> None:
    """Overwrite a file with a byte; 255s are not numbers in half precision."""
    file.write_bytes(bytes([byte]) * file.stat().st_size)


def _graph(nodes: list[onnx.NodeProto], constants: dict[str, Any]) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "hostile",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray(one), name) for name, one in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def with_loop() -> onnx.ModelProto:
    """A loop of 2^62 rounds."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["last", "last"], ["next"]),
        ],
        "body",
        [
            value("number", TensorProto.INT64, []),
            value("go", TensorProto.BOOL, []),
            value("last", TensorProto.FLOAT, [1]),
        ],
        [value("go_on", TensorProto.BOOL, []), value("next", TensorProto.FLOAT, [1])],
    )
    nodes = [helper.make_node("Loop", ["rounds", "yes", "one"], ["vectors"], body=body)]
    return _graph(
        nodes,
        {"rounds": np.int64(2**62), "yes": np.bool_(True), "one": np.ones(1, np.float32)},
    )


def with_huge_constant() -> onnx.ModelProto:
    """A constant of 16 GB."""
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["huge"]),
        helper.make_node("ReduceSum", ["huge"], ["vectors"]),
    ]
    return _graph(nodes, {"shape": np.array([2**32], np.int64)})


def with_doubling() -> onnx.ModelProto:
    """An image that is appended to itself 20 times over: 200 GB of bytes."""
    nodes = [
        helper.make_node("Concat", [f"x{n}" if n else "pixels"] * 2, [f"x{n + 1}"], axis=0)
        for n in range(20)
    ]
    nodes.append(helper.make_node("Cast", ["x20"], ["vectors"], to=TensorProto.FLOAT))
    return _graph(nodes, {})


def with_slow_steps() -> onnx.ModelProto:
    """Products of large matrices, for minutes, in little memory."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["real"], ["some"], keepdims=0),
        helper.make_node("Expand", ["some", "shape"], ["x0"]),
    ]
    nodes += [helper.make_node("MatMul", [f"x{n}"] * 2, [f"x{n + 1}"]) for n in range(400)]
    nodes.append(helper.make_node("ReduceSum", ["x400"], ["vectors"]))
    return _graph(nodes, {"shape": np.array([4096, 4096], np.int64)})


GRAPHS: dict[str, Callable[[], onnx.ModelProto]] = {
    "loop": with_loop,
    "huge constant": with_huge_constant,
    "doubling": with_doubling,
    "slow steps": with_slow_steps,
}


def replace_image_graph(folder: Path, made: onnx.ModelProto) -> None:
    """Give a bundle another image graph, and the checksums that fit."""
    onnx.save(made, str(folder / "image.onnx"))
    resum(folder)


def save_head(
    folder: Path, name: str, fingerprint: str, *, dim: int = DIM, fill_with: float = 0.0
) -> Path:
    """A linear head of three classes."""
    weights = np.random.default_rng(0).standard_normal((len(CLASSES), dim)).astype(np.float32)
    metadata = {
        "kind": "linear",
        "method": "linear-probe",
        "classes": list(CLASSES),
        "temperature": 1.0,
        "model": "pocket",
        "fingerprint": fingerprint,
        "made": "2026-11-01T00:00:00+00:00",
    }
    bias = np.full(len(CLASSES), fill_with, np.float32)
    return save(folder, name, metadata, {"weights": weights, "bias": bias})


def save_concept(folder: Path, name: str, fingerprint: str, vector: Any = None) -> Path:
    """A concept of one image."""
    metadata = {
        "kind": "concept",
        "model": "pocket",
        "fingerprint": fingerprint,
        "images": {"like": ["a.jpg"], "unlike": []},
    }
    if vector is None:
        vector = np.eye(1, DIM, dtype=np.float32)[0]
    return save(folder, name, metadata, {"vector": vector})


def change_manifest(folder: Path, *without: str, **changes: Any) -> None:
    """Change an artifact's manifest and its digest, as its maker could."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest = {key: one for key, one in {**manifest, **changes}.items() if key not in without}
    manifest["digest"] = manifest_digest(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
