"""What one exported tower takes and returns, told from its graph before anything runs it."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from indexer.bundles.graphs import Dtype, Graph, Layout, is_inside
from indexer.bundles.onnx_file import OnnxFile, Value
from indexer.errors import BundleError

# Names of outputs with one vector an image or text, best first. SigLIP's graphs return the
# last layer first, so the place says nothing.
OUTPUTS = (
    "image_embeds", "text_embeds", "image_embedding", "text_embedding", "embedding",
    "pooler_output", "output", "vectors",
)  # fmt: skip
# Inputs beside the ids that are masks.
MASK = "attention_mask"
# Operators that quantize a whole batch by one scale, so that images depend on their neighbors.
BATCH_SCALES = ("DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM")


@dataclass(frozen=True)
class Tower:
    """One tower.

    Attributes:
        file: The graph, a path in the repository or folder.
        input: What it takes.
        output: The vectors that it returns.
        mask: The input that says which ids are no padding.
        external: The files that hold its weights, as paths in the repository or folder.
        operators: How often each operator occurs.
    """

    file: str
    input: Value
    output: Value
    mask: str | None
    external: tuple[str, ...]
    operators: Counter[str]

    @classmethod
    def read(cls, folder: Path, file: str) -> "Tower":
        """Read a graph.

        Args:
            folder: Of the repository.
            file: The graph, a path in it.

        Raises:
            BundleError: It is not one tower of a CLIP, or reaches outside its folder.
        """
        graph = OnnxFile.read(folder / file)
        if graph.loop is not None:
            raise BundleError(
                f"{file} has a {graph.loop}: how long that takes cannot be known before"
            )
        external = []
        for name in sorted(graph.external):
            own = PurePosixPath(file).parent / name
            if not is_inside(name) or PurePosixPath(name).name != name:
                raise BundleError(
                    f"{file} wants its weights from {name[:80]!r}, outside its folder"
                )
            external.append(str(own))
        inputs = {one.name: one for one in graph.inputs}
        mask = inputs.pop(MASK, None)
        if len(inputs) != 1:
            listed = ", ".join(inputs) or "nothing"
            raise BundleError(
                f"{file} takes {listed[:200]}: an image or a text tower takes one input, so this "
                "is another model, or both towers in one graph"
            )
        outputs = {one.name: one for one in graph.outputs}
        named = [outputs[name] for name in OUTPUTS if name in outputs]
        flat = named or [one for one in graph.outputs if len(one.shape) == 2]
        if not flat:
            raise BundleError(f"{file} returns no vectors: {', '.join(outputs)[:200]}")
        (only,) = inputs.values()
        return cls(
            file, only, flat[0], mask.name if mask else None, tuple(external), graph.operators
        )

    @property
    def is_channels_last(self) -> bool:
        """Whether pixels come as `(n, h, w, 3)`."""
        return len(self.input.shape) == 4 and self.input.shape[3] == 3

    @property
    def sides(self) -> tuple[int, int] | None:
        """(height, width) of the pixels, where the graph fixes them."""
        if len(self.input.shape) != 4:
            return None
        height, width = self.input.shape[1:3] if self.is_channels_last else self.input.shape[2:4]
        return None if height is None or width is None else (height, width)

    @property
    def length(self) -> int | None:
        """How many ids a text has to have, where the graph fixes it."""
        return self.input.shape[1] if len(self.input.shape) == 2 else None

    def graph(self, folder: str, *, kind: str) -> Graph:
        """Return the tower as a bundle's manifest says it.

        Args:
            folder: Where its files lie in the bundle.
            kind: "image" or "text".

        Raises:
            BundleError: It takes what no tower of this kind does.
        """
        dtypes = ("uint8", "float32", "float16") if kind == "image" else ("int32", "int64")
        sides = 4 if kind == "image" else 2
        if self.input.dtype not in dtypes or len(self.input.shape) != sides:
            raise BundleError(
                f"{self.file} takes {self.input.dtype} of {len(self.input.shape)} dimensions, not "
                f"{' or '.join(dtypes)} of {sides}"
            )
        dtype: Dtype = self.input.dtype  # type: ignore[assignment]
        alone = any(self.operators[name] for name in BATCH_SCALES)
        plain = Graph(
            file=_in(folder, self.file),
            data=tuple(_in(folder, name) for name in self.external),
            input=self.input.name,
            output=self.output.name,
            dtype=dtype,
            batch=self.input.shape[0] or (1 if alone else None),
            mask=self.mask,
        )
        if kind == "text":
            return replace(plain, length=self.length)
        layout: Layout = "nhwc" if self.is_channels_last else "nchw"
        # Only graphs that take bytes can know what bytes mean.
        return replace(plain, layout=layout, normalizes=dtype == "uint8")

    @property
    def activations(self) -> dict[str, int]:
        """How often each activation of transformers occurs, as far as operators tell."""
        count = self.operators
        quick = count["QuickGelu"] or count["Sigmoid"]
        return {"quick_gelu": quick, "gelu": count["Erf"] + count["Gelu"] + count["FastGelu"]}


def _in(folder: str, name: str) -> str:
    return f"{folder}/{PurePosixPath(name).name}"
