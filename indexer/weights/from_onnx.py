"""Reads the weights of a bundle's graph, by open_clip's names.

torch's exporter keeps the names of weights that it leaves as they are. Those of linear layers,
which it transposes for a MatMul, and those that it reshapes lose their names. A transposed weight
is identified by the bias that is added after it and has kept its name; a reshaped one by being the
only one left of its size.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

from indexer.compile import onnx_graph
from indexer.errors import ModelError

Weights = dict[str, torch.Tensor]


@dataclass
class GraphWeights:
    """The weights of a graph.

    Attributes:
        named: In float32, by name without the prefix.
        nameless: Those that were reshaped.
    """

    named: Weights
    nameless: list[torch.Tensor]


def read_weights(file: Path, prefixes: tuple[str, ...]) -> GraphWeights:
    """Read the weights whose names begin with a prefix.

    Args:
        file: The graph.
        prefixes: What names may begin with; the first that fits is removed.

    Raises:
        BundleError: The file is damaged.
        ModelError: One name stands for two weights, since the exporter merges equal biases.
    """
    model = onnx_graph.read(file)
    onnx_graph.widen(model)
    held = {one.name: one for one in model.graph.initializer if one.dims}
    names = {
        name: name.removeprefix(prefix)
        for name in held
        for prefix in prefixes
        if name.startswith(prefix)
        and not any(name.startswith(p) for p in prefixes[: prefixes.index(prefix)])
    }
    weights = {short: _float32(held[name]) for name, short in names.items()}
    turned = set()
    for matrix, bias in _linear_layers(model.graph):
        if matrix in held and matrix not in names and bias in names:
            name = names[bias].removesuffix("bias") + "weight"
            if name in weights:
                raise ModelError(f"the graph {file} holds {names[bias]} for several layers")
            weights[name] = _float32(held[matrix]).T.contiguous()
            turned.add(matrix)
    rest = held.keys() - names.keys() - turned
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    nameless = [_float32(held[name]) for name in sorted(rest) if held[name].data_type in floats]
    return GraphWeights(weights, nameless)


def fill(module: nn.Module, found: GraphWeights, part: str) -> None:
    """Put weights into a module.

    Args:
        module: The module to fill.
        found: The weights.
        part: What the module is, for the error.

    Raises:
        ModelError: Weights and module do not match one to one.
    """
    wanted = module.state_dict()
    unsaved = {name for name, _ in module.named_buffers()} - wanted.keys()
    weights = {name: one for name, one in found.named.items() if name not in unsaved}
    for name in wanted.keys() - weights.keys():
        sized = [one for one in found.nameless if one.numel() == wanted[name].numel()]
        if len(sized) == 1:
            weights[name] = sized[0].reshape(wanted[name].shape)
    different = sorted(wanted.keys() ^ weights.keys()) or [
        name for name, tensor in wanted.items() if tensor.shape != weights[name].shape
    ]
    if different:
        raise ModelError(
            f"{part} cannot be restored from its bundle: {', '.join(different[:3])} and "
            f"{max(0, len(different) - 3)} more do not fit"
        )
    module.load_state_dict(weights, strict=True)


def _linear_layers(graph: onnx.GraphProto) -> Iterator[tuple[str, str]]:
    """Yield (matrix, bias), the names of a factor and of what is added to its product."""
    products = {node.output[0]: node.input[1] for node in graph.node if node.op_type == "MatMul"}
    for node in graph.node:
        if node.op_type == "Add":
            for product, bias in (node.input, reversed(node.input)):
                if product in products and bias.endswith("bias"):
                    yield products[product], bias


def _float32(weight: onnx.TensorProto) -> torch.Tensor:
    values: NDArray[np.float32] = numpy_helper.to_array(weight).astype(np.float32)
    return torch.from_numpy(values)
