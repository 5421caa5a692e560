"""The graphs of a bundle: what each is given, and what it returns.

clipdex compiles graphs of one kind, whose image tower takes uint8 pixels and normalizes them
itself. Graphs that others exported are run as they are, so the manifest says how each of them
differs.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, Self, cast, get_args

from indexer.json_files import Fields

MAX_BATCH = 1_024
MAX_LENGTH = 32_768
Dtype = Literal["uint8", "float16", "float32", "int32", "int64"]
Layout = Literal["nchw", "nhwc"]


@dataclass(frozen=True)
class Graph:
    """One tower's graph.

    Attributes:
        file: The ONNX file, a path below the bundle's folder.
        data: The files that hold its weights, likewise.
        input: The name of the pixels or ids.
        output: The name of the vectors.
        dtype: Of the input.
        layout: Of pixels, "nchw" or "nhwc".
        normalizes: Whether the graph subtracts the mean and divides by the deviation itself.
        batch: How many images or texts it takes at once, no more and no less; None for any.
        length: How many ids a text has to have; None for any, up to the context length.
        mask: The name of the input that says which ids are no padding; None if there is none.
        has_unit_vectors: Whether its vectors have unit length as they come.
    """

    file: str
    data: tuple[str, ...]
    input: str
    output: str
    dtype: Dtype
    layout: Layout = "nchw"
    normalizes: bool = True
    batch: int | None = None
    length: int | None = None
    mask: str | None = None
    has_unit_vectors: bool = True

    @property
    def files(self) -> tuple[str, ...]:
        """The graph and its weights."""
        return (self.file, *self.data)

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """Return the graph in a manifest.

        Raises:
            ValueError: An entry makes no sense, or names a file outside the bundle.
        """
        made = cls(
            file=fields.text("file"),
            data=fields.texts("data"),
            input=fields.text("input"),
            output=fields.text("output"),
            dtype=cast(Dtype, fields.text("dtype", among=get_args(Dtype))),
            layout=cast(Layout, fields.text("layout", "nchw", among=get_args(Layout))),
            normalizes=fields.flag("normalizes"),
            batch=fields.integer("batch", 1, MAX_BATCH, None),
            length=fields.integer("length", 1, MAX_LENGTH, None),
            mask=fields.text("mask", None),
            has_unit_vectors=fields.flag("has_unit_vectors"),
        )
        fields.nothing_else()
        if outside := [name for name in made.files if not is_inside(name)]:
            raise ValueError(f"{outside[0][:80]!r} is not a file in the bundle")
        return made


COMPILED = {
    "image": Graph("image.onnx", ("image.onnx.data",), "pixels", "vectors", "uint8"),
    "text": Graph("text.onnx", ("text.onnx.data",), "ids", "vectors", "int64"),
}
"""The graphs that clipdex compiles."""


def is_inside(name: str) -> bool:
    """Return whether a path stays below the folder that it is joined to."""
    path = PurePosixPath(name)
    plain = bool(name) and "\\" not in name and "\0" not in name and ":" not in name
    return plain and not path.is_absolute() and ".." not in path.parts and path.name != ""
