"""What an exported ONNX graph goes through before it is a bundle's: smaller files, same numbers."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from indexer.errors import BundleError

# Smaller tensors are not worth a node.
SMALLEST = 1024


def store_half(model: onnx.ModelProto, *, lossy: bool) -> int:
    """Store in float16 every float32 weight that loses nothing by it, or with `lossy` every one
    that stays finite; returns how many.

    A weight is widened by a Cast right behind it, which ONNX Runtime folds while loading; a
    table that is looked up by Gather is widened behind the lookup, so that it stays mapped.
    """
    graph = model.graph
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    changed = 0
    casts: list[onnx.NodeProto] = []
    for weight in graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT or np.prod(weight.dims) < SMALLEST:
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
    """Undo `store_half`: weights in float32, without the Casts behind them; looked-up tables stay
    as they are.
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
    """The graph with the weights of the files beside it.

    Those may have several links, as those of packages that uv installs do: onnx itself refuses
    them. Raises BundleError for what is missing, damaged, or names a file of another folder.
    """
    try:
        model = onnx.load(str(path), load_external_data=False)
        for tensor in _tensors(model.graph):
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                tensor.raw_data = _outside(tensor, path.parent)
                tensor.ClearField("data_location")
                tensor.ClearField("external_data")
    except Exception as exc:  # onnx and protobuf raise what they like
        raise BundleError(f"the graph {path} cannot be read: {exc}") from exc
    return model


def write(model: onnx.ModelProto, path: Path) -> None:
    """Write the graph without the exporter's notes, its weights in one file beside it."""
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
        size_threshold=SMALLEST,
    )
    data.chmod(path.stat().st_mode)  # onnx lets nobody else read it


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """All constants of a graph, those of graphs within it too."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _tensors(inner)


def _outside(tensor: onnx.TensorProto, folder: Path) -> bytes:
    """A tensor's bytes from the file that it names.

    Source: onnx, docs/ExternalData.md.
    """
    metadata: dict[str, str] = {entry.key: entry.value for entry in tensor.external_data}
    location = metadata["location"]
    if location in ("", ".", "..") or Path(location).name != location or "\\" in location:
        raise ValueError(f"{tensor.name} names the file {location!r}, not one beside the graph")
    offset, length = int(metadata.get("offset", 0)), int(metadata.get("length", -1))
    with (folder / location).open("rb") as file:
        file.seek(offset)
        found = file.read(length)
    if len(found) < length:
        raise ValueError(f"{location} ends within {tensor.name}")
    return found


def _cast(source: str, target: str) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=target, to=onnx.TensorProto.FLOAT)


def _sorted(nodes: list[onnx.NodeProto], ready: set[str]) -> list[onnx.NodeProto]:
    """The nodes in an order in which each comes after those that it reads from."""
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
