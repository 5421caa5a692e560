"""The weights of a bundle's graph, by open_clip's names.

torch's exporter keeps the name of a weight that it leaves as it is. A linear layer's, which it
turns over for a MatMul, and whatever it reshapes, lose theirs: a turned one is named by the bias
added behind it, which kept its own, and a reshaped one by being the only one left of its size.
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
    """named: in float32, without the prefix. nameless: those that were reshaped."""

    named: Weights
    nameless: list[torch.Tensor]


def read_weights(file: Path, prefixes: tuple[str, ...]) -> GraphWeights:
    """The weights whose names begin with one of `prefixes`, the first that fits.

    Raises BundleError for a damaged file, ModelError where one name stands for two weights: the
    exporter keeps equal biases once.
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
    """Put the weights into a module. part: what it is, for the error.

    Raises ModelError unless each finds its place and each of the module's gets one.
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
            f"{part} cannot be taken from its bundle: {', '.join(different[:3])} and "
            f"{max(0, len(different) - 3)} more do not fit"
        )
    module.load_state_dict(weights, strict=True)


def _linear_layers(graph: onnx.GraphProto) -> Iterator[tuple[str, str]]:
    """(matrix, bias): the names of what is multiplied by, and of what is added to the product."""
    products = {node.output[0]: node.input[1] for node in graph.node if node.op_type == "MatMul"}
    for node in graph.node:
        if node.op_type == "Add":
            for product, bias in (node.input, reversed(node.input)):
                if product in products and bias.endswith("bias"):
                    yield products[product], bias


def _float32(weight: onnx.TensorProto) -> torch.Tensor:
    values: NDArray[np.float32] = numpy_helper.to_array(weight).astype(np.float32)
    return torch.from_numpy(values)
