"""What an ONNX file holds, without the onnx package and without running anything.

The file's fields are walked as protocol buffers, so that a graph from elsewhere is known before
ONNX Runtime, which executes parts of it while it loads it, sees any of it.

Source: onnx, onnx.proto: the numbers of the fields.
"""

import mmap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from indexer.errors import BundleError

# Operators that repeat a part of a graph as often as they are told to.
LOOPS = ("Loop", "Scan", "SequenceMap")
# TensorProto.DataType.
DTYPES = {1: "float32", 2: "uint8", 6: "int32", 7: "int64", 10: "float16"}
MAX_NAME = 1_000
MAX_NESTING = 16


@dataclass(frozen=True)
class Value:
    """An input or output of a graph.

    Attributes:
        name: Its name.
        dtype: As NumPy calls it; "other" if no tower takes it.
        shape: Its sides; None for each that is free.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]


@dataclass
class OnnxFile:
    """What an ONNX file holds.

    Attributes:
        inputs: What the graph takes, without its weights.
        outputs: What it returns.
        operators: How often each operator occurs, those of nested graphs and functions included.
        external: The files that hold weights, as the file names them.
    """

    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    operators: Counter[str] = field(default_factory=Counter)
    external: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, file: Path) -> "OnnxFile":
        """Walk a file.

        Raises:
            BundleError: It is not an ONNX file.
        """
        try:
            with (
                open(file, "rb") as stream,
                mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
            ):
                return cls()._walk(_Message(data, 0, len(data)))
        except ValueError as exc:  # an empty file, or not a message
            raise BundleError(f"{file} is damaged: it is not an ONNX model") from exc

    @property
    def loop(self) -> str | None:
        """The name of an operator that repeats something, if there is one."""
        return next((name for name in LOOPS if self.operators[name]), None)

    def _walk(self, model: "_Message") -> "OnnxFile":
        graphs = 0
        for number, part in model.messages():
            if number == 7:  # ModelProto.graph
                graphs += 1
                self._graph(part, outermost=True)
            elif number == 25:  # ModelProto.functions
                for inner, node in part.messages():
                    if inner == 7:  # FunctionProto.node
                        self._node(node, 0)
        if graphs != 1:
            raise ValueError("it has no graph")
        return self

    def _graph(self, graph: "_Message", *, outermost: bool = False, nesting: int = 0) -> None:
        if nesting > MAX_NESTING:
            raise ValueError("its graphs are nested too deeply")
        weights = set()
        for number, part in graph.messages():
            if number == 1:  # GraphProto.node
                self._node(part, nesting)
            elif number == 5:  # GraphProto.initializer
                weights.add(self._tensor(part))
            elif outermost and number == 11:  # GraphProto.input
                self.inputs.append(_value(part))
            elif outermost and number == 12:  # GraphProto.output
                self.outputs.append(_value(part))
        if outermost:
            self.inputs = [one for one in self.inputs if one.name not in weights]

    def _node(self, node: "_Message", nesting: int) -> None:
        for number, part in node.messages():
            if number == 4:  # NodeProto.op_type
                self.operators[part.text()] += 1
            elif number == 5:  # NodeProto.attribute
                for inner, value in part.messages():
                    if inner == 5:  # AttributeProto.t
                        self._tensor(value)
                    elif inner in (6, 11):  # AttributeProto.g, AttributeProto.graphs
                        self._graph(value, nesting=nesting + 1)

    def _tensor(self, tensor: "_Message") -> str:
        """Note where a tensor's values lie, and return its name."""
        name = ""
        for number, part in tensor.messages():
            if number == 8:  # TensorProto.name
                name = part.text()
            elif number == 13:  # TensorProto.external_data
                entry = {inner: value.text() for inner, value in part.messages()}
                if entry.get(1) == "location":
                    self.external.add(entry.get(2, ""))
        return name


def _value(message: "_Message") -> Value:
    """Return the name and the type of a ValueInfoProto."""
    name, dtype, shape = "", "other", []
    for number, part in message.messages():
        if number == 1:  # ValueInfoProto.name
            name = part.text()
        elif number == 2:  # ValueInfoProto.type
            for kind, tensor in part.messages():
                if kind != 1:  # TypeProto.tensor_type
                    continue
                for entry, value in tensor.fields():
                    if entry == 1 and isinstance(value, int):  # elem_type
                        dtype = DTYPES.get(value, "other")
                    elif entry == 2 and isinstance(value, _Message):  # shape
                        shape = [_side(one) for each, one in value.messages() if each == 1]
    return Value(name, dtype, tuple(shape))


def _side(dimension: "_Message") -> int | None:
    sizes = [value for number, value in dimension.fields() if number == 1]
    return sizes[0] if sizes and isinstance(sizes[0], int) and 0 < sizes[0] < 2**31 else None


@dataclass(frozen=True)
class _Message:
    """A part of a file that holds a protocol buffer's message."""

    data: mmap.mmap
    start: int
    end: int

    def text(self) -> str:
        """Return the bytes as text."""
        return self.data[self.start : min(self.end, self.start + MAX_NAME)].decode(
            "utf-8", "replace"
        )

    def messages(self) -> Iterator[tuple[int, "_Message"]]:
        """Yield (number, part) of the fields that have a length."""
        for number, value in self.fields():
            if isinstance(value, _Message):
                yield number, value

    def fields(self) -> Iterator[tuple[int, "_Message | int"]]:
        """Yield (number, value) of the fields, leaving out floating-point ones.

        Raises:
            ValueError: This is not a message.
        """
        at = self.start
        while at < self.end:
            tag, at = self._varint(at)
            match tag & 7:
                case 0:
                    value, at = self._varint(at)
                    yield tag >> 3, value
                case 1:
                    at += 8
                case 2:
                    size, at = self._varint(at)
                    if at + size > self.end:
                        raise ValueError("it ends too early")
                    yield tag >> 3, _Message(self.data, at, at + size)
                    at += size
                case 5:
                    at += 4
                case _:
                    raise ValueError("it has a field of no known kind")
        if at != self.end:
            raise ValueError("it ends too early")

    def _varint(self, at: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if at >= self.end:
                break
            byte = self.data[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value, at
        raise ValueError("it ends too early")
