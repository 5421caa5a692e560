"""What an exported ONNX graph goes through before it is a bundle's: smaller files, same numbers."""

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

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
