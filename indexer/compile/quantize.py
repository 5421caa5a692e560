"""Quantizes a bundle's image tower to 8-bit integers.

That makes it about twice as fast on a CPU, at some loss.

In towers of matrix products, weights are rounded and activations are scaled at run time.
Convolutions have to know the range of their activations beforehand, which is measured on images.
The text tower stays as it is. The result has its own fingerprint, so its vectors are never mixed
with those of its base. This needs the onnx package.

Weights use 7 of the 8 bits: processors without VNNI add pairs of products in 16 bits, which then
hold them, so that every processor computes the same integers. The first convolutions, whose few
channels have the widest ranges, stay in full precision. Both are told by docs/decisions/0028.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from indexer.bundles.bundle import Bundle
from indexer.encoder import Pixels
from indexer.errors import CompileError
from indexer.openclip.quiet import quiet

from . import onnx_graph
from .derive import complete

MATRICES = ["MatMul", "Gemm"]


# What the weights use; bundles of 8 bits differ from one processor to the next.
WEIGHT_BITS = 7


def quantize(base: Bundle, pixels: Pixels, folder: Path, name: str, *, kept: int = 0) -> Bundle:
    """Write the 8-bit bundle derived from a base.

    Args:
        base: The bundle in full precision.
        pixels: Images `(n, 3, h, w)` to calibrate convolutions on.
        folder: An empty folder for the bundle.
        name: The name of the derived bundle.
        kept: How many of the first convolutions stay in full precision.

    Raises:
        CompileError: ONNX Runtime cannot quantize the tower.
    """
    work = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".quantize-"))
    try:
        model = onnx_graph.read(base.folder / "image.onnx")
        onnx_graph.widen(model)
        onnx_graph.write(model, work / "wide.onnx")
        with quiet():
            _run(work / "wide.onnx", work / "image.onnx", pixels, model, kept)
        onnx_graph.write(onnx_graph.read(work / "image.onnx"), folder / "image.onnx")
    except Exception as exc:  # onnx and ONNX Runtime raise many kinds
        line = " ".join(str(exc).split())[:200]
        raise CompileError(f"{base.name} cannot be quantized to 8 bits: {line}") from exc
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return complete(
        base, folder, name, quantized={"base": base.fingerprint, "weight_bits": WEIGHT_BITS}
    )


def is_conv(model: onnx.ModelProto) -> bool:
    """Return whether most of a graph's weights belong to convolutions."""
    sizes = {weight.name: int(np.prod(weight.dims)) for weight in model.graph.initializer}
    counts = {"Conv": 0, "other": 0}
    for node in model.graph.node:
        kind = "Conv" if node.op_type == "Conv" else "other"
        counts[kind] += sum(sizes.get(name, 0) for name in node.input)
    return counts["Conv"] > counts["other"]


class _Images(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, pixels: Pixels) -> None:
        self._rest: Iterator[Pixels] = iter(pixels)

    def get_next(self) -> dict[str, Any] | None:
        image = next(self._rest, None)
        return None if image is None else {"pixels": image[np.newaxis]}


def _run(source: Path, target: Path, pixels: Pixels, model: onnx.ModelProto, kept: int) -> None:
    common: dict[str, Any] = {
        "per_channel": True,
        "reduce_range": True,
        "weight_type": QuantType.QInt8,
        "use_external_data_format": True,
    }
    if is_conv(model):
        convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
        quantize_static(
            str(source),
            str(target),
            _Images(pixels),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            nodes_to_exclude=convolutions[:kept],
            **common,
        )
    else:
        quantize_dynamic(str(source), str(target), op_types_to_quantize=MATRICES, **common)
