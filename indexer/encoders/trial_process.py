"""The process that tries a graph, for `trial.py`."""

import json
import mmap
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from indexer.bundles.bundle import Bundle
from indexer.bundles.samples import sample_images
from indexer.errors import BundleError, ClipdexError

from .onnx_encoder import OnnxEncoder

TEXT = "a photo of a dog"
# Operators that repeat a part of a graph as often as they are told to.
LOOPS = {b"Loop", b"Scan", b"SequenceMap"}


def main() -> None:
    """Try a graph in this process, which was started for that, and say how it went."""
    folder, name, graph, seconds, megabytes = json.loads(sys.argv[2])
    _limit(seconds, megabytes)
    answer = {"outcome": "runs"}
    try:
        bundle = replace(Bundle.load(Path(folder)), name=name)
        if loop := next(_loops(bundle.folder / graph), None):
            raise BundleError(
                f"{bundle.folder / graph} has a {loop}: how long that takes cannot be known before"
            )
        encoder = OnnxEncoder(bundle, device="cpu", made_here=True)
        if graph == "image.onnx":
            encoder.encode_images(bundle.image.pixels(sample_images(1)[0])[np.newaxis])
        else:
            encoder.encode_texts([TEXT])
    except MemoryError:
        answer = {"outcome": "memory"}
    except ClipdexError as exc:
        # ONNX Runtime has no exception of its own for it.
        lacking = any(word in str(exc).lower() for word in ("bad_alloc", "allocate memory"))
        answer = {"outcome": "memory"} if lacking else {"outcome": "error", "error": str(exc)}
    except Exception as exc:
        answer = {"outcome": "error", "error": f"cannot run {graph} in {folder}: {exc}"}
    print(json.dumps(answer), flush=True)  # noqa: T201
    os._exit(0)  # at once, whatever threads there are


def _limit(seconds: int, megabytes: int) -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 2))
    resource.setrlimit(resource.RLIMIT_DATA, (megabytes * 10**6,) * 2)


def _loops(file: Path) -> Iterator[str]:
    """Yield the names of a graph's operators that repeat something.

    The file's fields are walked without the onnx package, which only compiling needs.

    Source: onnx, onnx.proto: the numbers of the fields.
    """
    with open(file, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for number, start, end in _fields(data, 0, len(data)):
            if number in (7, 25):  # ModelProto.graph, ModelProto.functions
                yield from _loops_of(data, start, end, 1 if number == 7 else 7)


def _loops_of(data: mmap.mmap, start: int, end: int, node: int) -> Iterator[str]:
    for number, at, to in _fields(data, start, end):
        if number != node:  # GraphProto.node, FunctionProto.node
            continue
        for kind, first, last in _fields(data, at, to):
            if kind == 4 and data[first:last] in LOOPS:  # NodeProto.op_type
                yield data[first:last].decode()
            if kind == 5:  # NodeProto.attribute
                for entry, begins, ends in _fields(data, first, last):
                    if entry in (6, 11):  # AttributeProto.g, AttributeProto.graphs
                        yield from _loops_of(data, begins, ends, 1)


def _fields(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield (number, start, end) of a message's fields that have a length.

    Raises:
        BundleError: This is not a message.
    """
    while at < end:
        tag, at = _varint(data, at, end)
        match tag & 7:
            case 0:
                _, at = _varint(data, at, end)
            case 1:
                at += 8
            case 2:
                size, at = _varint(data, at, end)
                if at + size > end:
                    break
                yield tag >> 3, at, at + size
                at += size
            case 5:
                at += 4
            case _:
                break
    else:
        if at == end:
            return
    raise BundleError("the graph is damaged: it is not an ONNX model")


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise BundleError("the graph is damaged: it is not an ONNX model")
