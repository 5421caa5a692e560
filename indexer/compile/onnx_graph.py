"""Reads and writes ONNX graphs, and makes their files smaller without changing the results."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from indexer.errors import BundleError

# Smaller tensors are not worth a node.
MIN_ELEMENTS = 1024


def store_half(model: onnx.ModelProto, *, lossy: bool) -> int:
    """Store float32 weights in float16.

    A weight is widened by a Cast right after it, which ONNX Runtime folds while loading. A table
    that Gather reads is widened after the lookup, so that it stays mapped from disk.

    Args:
        model: The graph, changed in place.
        lossy: Store all weights that stay finite, not only those that lose nothing by it.

    Returns:
        How many weights were stored in float16.
    """
    graph = model.graph
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    changed = 0
    casts: list[onnx.NodeProto] = []
    for weight in graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT or np.prod(weight.dims) < MIN_ELEMENTS:
            continue
        values = numpy_helper.to_array(weight)
        half = values.astype(np.float16)
        if not (np.isfinite(half).all() if lossy else np.array_equal(half, values)):
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(half, name))
        changed += 1
        users = readers.get(name, [])
        if users and all(node.op_type == "Gather" and node.input[0] == name for node in users):
            for node in users:
                looked_up = node.output[0] + "_half"
                casts.append(_cast(looked_up, node.output[0]))
                node.output[0] = looked_up
        else:
            casts.append(_cast(name, name + "_float"))
            for node in users:
                node.input[:] = [n + "_float" if n == name else n for n in node.input]
    ordered = _sorted([*casts, *graph.node], {weight.name for weight in graph.initializer})
    del graph.node[:]
    graph.node.extend(ordered)
    return changed


def widen(model: onnx.ModelProto) -> None:
    """Undo `store_half`: store weights in float32, without the Casts after them.

    Tables that Gather reads stay as they are.
    """
    graph = model.graph
    weights = {weight.name: weight for weight in graph.initializer}
    renamed: dict[str, str] = {}
    kept = []
    for node in graph.node:
        weight = weights.get(node.input[0]) if node.op_type == "Cast" else None
        if weight is None:
            kept.append(node)
            continue
        values = numpy_helper.to_array(weight).astype(np.float32)
        weight.CopyFrom(numpy_helper.from_array(values, weight.name))
        renamed[node.output[0]] = weight.name
    for node in kept:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    del graph.node[:]
    graph.node.extend(kept)


def read(path: Path) -> onnx.ModelProto:
    """Return a graph with the weights from the files beside it.

    Those may have several hard links, as in packages that uv installs; onnx itself refuses them.

    Raises:
        BundleError: A file is missing or damaged, or the graph names a file in another folder.
    """
    try:
        model = onnx.load(str(path), load_external_data=False)
        for tensor in _tensors(model.graph):
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                tensor.raw_data = _outside(tensor, path.parent)
                tensor.ClearField("data_location")
                tensor.ClearField("external_data")
    except Exception as exc:  # onnx and protobuf raise many kinds
        raise BundleError(f"the graph {path} cannot be read: {exc}") from exc
    return model


def write(model: onnx.ModelProto, path: Path) -> None:
    """Write a graph without the exporter's notes, and its weights into one file beside it."""
    del model.metadata_props[:]
    model.graph.ClearField("value_info")
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    for value in (*model.graph.input, *model.graph.output):
        value.ClearField("metadata_props")
    data = path.with_suffix(".onnx.data")
    data.unlink(missing_ok=True)  # onnx appends
    onnx.save_model(
        model,
        str(path),
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=data.name,
        size_threshold=MIN_ELEMENTS,
    )
    data.chmod(path.stat().st_mode)  # onnx makes it unreadable for other users


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield all constants of a graph and of the graphs within it."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _tensors(inner)


def _outside(tensor: onnx.TensorProto, folder: Path) -> bytes:
    """Return a tensor's bytes from the file that it names.

    Source: onnx, docs/ExternalData.md.
    """
    entries: dict[str, str] = {entry.key: entry.value for entry in tensor.external_data}
    location = entries["location"]
    if location in ("", ".", "..") or Path(location).name != location or "\\" in location:
        raise ValueError(f"{tensor.name} names the file {location!r}, not one beside the graph")
    offset, length = int(entries.get("offset", 0)), int(entries.get("length", -1))
    with (folder / location).open("rb") as file:
        file.seek(offset)
        found = file.read(length)
    if len(found) < length:
        raise ValueError(f"{location} ends within {tensor.name}")
    return found


def _cast(source: str, target: str) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=target, to=onnx.TensorProto.FLOAT)


def _sorted(nodes: list[onnx.NodeProto], ready: set[str]) -> list[onnx.NodeProto]:
    """Return the nodes in topological order."""
    produced = {name for node in nodes for name in node.output}
    ordered: list[onnx.NodeProto] = []
    waiting = nodes
    while waiting:
        later = []
        for node in waiting:
            if all(not name or name in ready or name not in produced for name in node.input):
                ready.update(node.output)
                ordered.append(node)
            else:
                later.append(node)
        if len(later) == len(waiting):
            raise ValueError("the graph has a cycle")
        waiting = later
    return ordered
