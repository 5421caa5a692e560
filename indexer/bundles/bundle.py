"""Bundles: folders with an encoder compiled to run without torch.

    bundle.json        what it is (below)
    image.onnx         uint8 pixels (n, 3, h, w) -> unit vectors (n, dim)
    image.onnx.data    its weights
    text.onnx          int64 ids (n, length) -> unit vectors (n, dim)
    text.onnx.data     its weights
    tokenizer.txt      the byte-pair merges, for `tokenizers.bpe.TextTokenizer`; or
    tokenizer.json     for `tokenizers.huggingface.HuggingFaceTokenizer`
                       or what others exported, as it came: see `graphs.py`
    bank.npy           float16 vectors (1000, dim) of captions.txt, which scores are compared with
    reference.npy      float16 vectors (n, dim) of photos of anything, for the same

Weights that half precision holds without loss are stored in it, and widened on loading.
"""

import json
import re
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self, get_args

import numpy as np

from indexer.encoder import Embeddings, unit
from indexer.errors import BundleError, ModelError
from indexer.images.preprocess import RESAMPLING, Preprocess, ResizeMode
from indexer.json_files import Fields, read_json
from indexer.model_name import MANIFEST

from .graphs import COMPILED, Graph, is_inside

FORMAT = 1
# A bundle's fingerprint, which names its folder in the cache.
HEX = re.compile(r"[0-9a-f]{32}")
BANK = "bank.npy"
REFERENCE = "reference.npy"
TOKENIZERS = {"bpe": "tokenizer.txt", "huggingface": "tokenizer.json"}
# The keys of `tokenizers.bpe.CLEANERS`.
CLEANERS = ("lower", "whitespace", "canonicalize", "none")
DIGEST = re.compile(r"[0-9a-f]{64}")
# Far above those of any model, and far below what fills the memory.
MAX_DIM = 65_536
MAX_SIDE = 4_096
MAX_CONTEXT = 32_768
MAX_ID = 2**31 - 1
# How many coefficients the estimate of each kind of query has, and how many it once had.
COEFFICIENTS = {"text": 14, "image": 14, "mixed": 14, "label": 2}
WITHOUT_PHOTOS = "without_photos"
COEFFICIENTS_WITHOUT_PHOTOS = {"text": 5, "image": 5, "mixed": 5}
EARLIER = {"text": 4, "image": 4, "mixed": 4, "label": 3}


@dataclass(frozen=True)
class TextSettings:
    """What a text tower expects of its ids.

    Attributes:
        context_length: How many ids a text has at most.
        cut: Whether ids may be as short as the longest text of a batch.
        clean: A key of `tokenizers.bpe.CLEANERS`.
        pad: The id of padding.
        kind: "bpe" (CLIP's own) or "huggingface".
        start: The id of the start token; of the kind "bpe".
        end: The id of the end token; of the kind "bpe".
        specials: Special tokens that may be typed, and their ids; of the kind "bpe".
        blank: As for `HuggingFaceTokenizer`.
        clips: As for `HuggingFaceTokenizer`.
        prefix: What stands in front of each text, of the kind "huggingface".
    """

    context_length: int
    cut: bool
    clean: str
    pad: int
    kind: str = "bpe"
    start: int = 0
    end: int = 0
    specials: dict[str, int] = field(default_factory=dict)
    blank: int | None = None
    clips: tuple[int, int, int, int] | None = None
    prefix: str = ""

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> Self:
        """Return the settings in a manifest's object.

        Raises:
            ValueError: One is missing or makes no sense.
        """
        fields = Fields(settings, "'text'")
        clips = None
        if fields.has("clips"):
            start, end, pad, last = fields.integers("clips", 4, 0, MAX_ID)
            clips = start, end, pad, last
        specials = fields.fields("specials", {})
        made = cls(
            context_length=fields.integer("context_length", 3, MAX_CONTEXT),
            cut=fields.flag("cut"),
            clean=fields.text("clean", among=CLEANERS),
            pad=fields.integer("pad", 0, MAX_ID),
            kind=fields.text("kind", "bpe", among=TOKENIZERS),
            start=fields.integer("start", 0, MAX_ID, 0),
            end=fields.integer("end", 0, MAX_ID, 0),
            specials={key: specials.integer(key, 0, MAX_ID) for key in specials},
            blank=fields.integer("blank", 0, MAX_ID, None),
            clips=clips,
            prefix=fields.text("prefix", ""),
        )
        fields.nothing_else("clips")
        return made

    @property
    def file(self) -> str:
        """The tokenizer's file in the bundle."""
        return TOKENIZERS[self.kind]


@dataclass(frozen=True)
class Bundle:
    """A bundle's manifest, and the folder that holds it.

    Attributes:
        folder: Where the files are.
        name: The model's name.
        fingerprint: Hash of weights, architecture, preprocessing and tokenizer, 32 hex digits.
        dim: Length of the vectors.
        logit_scale: What similarities are multiplied by before a softmax (not its logarithm).
        logit_bias: What is added to them, in models of SigLIP's kind.
        image: How an image becomes pixels.
        text: How a text becomes ids.
        source: What the bundle was compiled from.
        licence: Of the weights, in words.
        relevance: Coefficients of the estimate of P(match) by kind of query, and what they were
            fitted on (`search/ranking/relevance.py`, `scripts/relevance.py`).
        checksums: BLAKE3 of each file, by its name; empty in a bundle of an earlier version.
        quantized: Of an 8-bit image tower: the fingerprint of its base (`base`), its loss compared
            with that (`loss`, see `indexer/compile/int8.py`), and the bits of its weights
            (`weight_bits`).
        tuned: Of a model that `clipdex adapt tune` or `merge` made: the fingerprint (`base`) and
            name (`base_name`) of its base, settings and metrics.
        architecture: open_clip's `model_cfg`, to build the image tower in torch; empty in a bundle
            of an earlier version.
        graphs: What others exported, by "image" and "text"; empty where clipdex compiled it.
        checks: What was checked when such a model was pulled, in words.
        text_only: Whether it has a text graph alone, as the encoder of a text classifier. What it
            says of images means nothing.
    """

    folder: Path
    name: str
    fingerprint: str
    dim: int
    logit_scale: float
    logit_bias: float | None
    image: Preprocess
    text: TextSettings
    source: str
    licence: str
    relevance: dict[str, Any] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    quantized: dict[str, Any] = field(default_factory=dict)
    tuned: dict[str, Any] = field(default_factory=dict)
    architecture: dict[str, Any] = field(default_factory=dict)
    graphs: dict[str, Graph] = field(default_factory=dict)
    checks: tuple[str, ...] = ()
    text_only: bool = False

    @property
    def image_graph(self) -> Graph:
        """The graph of the image tower."""
        return self.graphs.get("image", COMPILED["image"])

    @property
    def text_graph(self) -> Graph:
        """The graph of the text tower."""
        return self.graphs.get("text", COMPILED["text"])

    @property
    def is_export(self) -> bool:
        """Whether others exported the graphs, so that nothing can be derived from them."""
        return bool(self.graphs)

    def require_compiled(self, what: str) -> None:
        """Raise ModelError if others exported the graphs; `what` needs those of clipdex."""
        if self.is_export:
            raise ModelError(
                f"{what} needs a model that clipdex compiled, and {self.name} was exported by "
                "others: `clipdex models list` names models to compile with clipdex[torch]"
            )

    @cached_property
    def bank(self) -> Embeddings | None:
        """The vectors of captions of everything, `(captions, dim)`; None in a bundle without."""
        return self._vectors(BANK)

    @cached_property
    def reference(self) -> Embeddings | None:
        """The vectors of photos of anything, `(n, dim)`; None in a bundle without."""
        return self._vectors(REFERENCE)

    def _vectors(self, name: str) -> Embeddings | None:
        """Return the unit vectors `(n, dim)` in a file, or None if there is no such file."""
        file = self.folder / name
        try:
            vectors = unit(np.load(file, allow_pickle=False, max_header_size=1_000))
        except FileNotFoundError:
            return None
        except Exception as exc:  # NumPy's parser of headers raises many kinds
            raise BundleError(f"{file} is damaged: {exc}") from exc
        if vectors.ndim != 2 or not len(vectors) or vectors.shape[1] != self.dim:
            raise BundleError(f"{file} is damaged: it does not hold vectors of {self.dim} numbers")
        if not np.isfinite(vectors).all():
            raise BundleError(f"{file} is damaged: it holds numbers that are none")
        return vectors

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the manifest of a bundle.

        Raises:
            BundleError: A file is missing, or the manifest is damaged or of another format.
        """
        damaged = f"the manifest of the bundle {folder} is damaged"
        try:
            manifest = read_json(folder / MANIFEST)
        except FileNotFoundError as exc:
            raise BundleError(f"{folder} is not a bundle: it has no {MANIFEST}") from exc
        except (OSError, ValueError) as exc:
            raise BundleError(f"{damaged}: {exc}") from exc
        if not isinstance(manifest, dict):
            raise BundleError(f"{damaged}: it is not an object")
        if manifest.get("format") != FORMAT:
            raise BundleError(
                f"the bundle {folder} has format {str(manifest.get('format'))[:40]}, but this "
                f"clipdex reads {FORMAT}: compile the model again, or upgrade clipdex"
            )
        if not HEX.fullmatch(str(manifest.get("fingerprint"))):
            raise BundleError(f"{damaged}: its fingerprint is not 32 hex digits")
        try:
            made = cls._from_fields(folder, Fields(manifest))
        except ValueError as exc:
            raise BundleError(f"{damaged}: {exc}") from exc
        missing = [name for name in made.files if not (folder / name).is_file()]
        if missing:
            raise BundleError(f"the bundle {folder} lacks {', '.join(missing)}")
        lost = [key for key in made.checksums if not is_inside(key) or not (folder / key).is_file()]
        if lost:
            raise BundleError(f"{damaged}: it lists {', '.join(lost)}, which the folder lacks")
        return made

    @classmethod
    def _from_fields(cls, folder: Path, fields: Fields) -> Self:
        """Return the bundle of a manifest; raise ValueError if an entry makes no sense."""
        sums = fields.fields("checksums", {})
        made = cls(
            folder=folder,
            name=fields.text("name"),
            fingerprint=fields.text("fingerprint", pattern=HEX),
            dim=fields.integer("dim", 1, MAX_DIM),
            logit_scale=fields.number("logit_scale", positive=True),
            logit_bias=fields.number("logit_bias", None),
            image=_preprocess(fields.fields("image")),
            text=TextSettings.from_json(fields.object("text")),
            source=fields.text("source"),
            licence=fields.text("licence"),
            relevance=_relevance(fields.object("relevance", {})),
            checksums={key: sums.text(key, pattern=DIGEST) for key in sums},
            quantized=fields.object("quantized", {}),
            tuned=fields.object("tuned", {}),
            architecture=fields.object("architecture", {}),
            graphs=_graphs(fields.fields("graphs", {})),
            checks=fields.texts("checks") if fields.has("checks") else (),
            text_only=fields.has("text_only") and fields.flag("text_only"),
        )
        fields.nothing_else("format", "checks", "text_only")
        return made

    @property
    def files(self) -> tuple[str, ...]:
        """The names of its files beside the manifest."""
        there = [name for name in (BANK, REFERENCE) if (self.folder / name).is_file()]
        images = () if self.text_only else self.image_graph.files
        graphs = (*images, *self.text_graph.files)
        return (*graphs, self.text.file, *there)

    @property
    def is_portable(self) -> bool:
        """Whether every processor comes to the same vectors: not so where weights have 8 bits."""
        return not self.quantized or "weight_bits" in self.quantized

    @property
    def bytes(self) -> int:
        """The size on disk."""
        return sum((self.folder / name).stat().st_size for name in (*self.files, MANIFEST))

    def save(self) -> None:
        """Write the manifest beside the graphs."""
        manifest: dict[str, Any] = {"format": FORMAT, **asdict(self), "image": self.image.to_json()}
        del manifest["folder"]
        for holder, key in (
            (manifest, "graphs"),
            (manifest, "checks"),
            (manifest, "text_only"),
            (manifest["text"], "prefix"),
        ):
            if not holder[key]:  # of exports and text encoders only
                del holder[key]
        text = json.dumps(manifest, indent=1, ensure_ascii=False)
        (self.folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def _graphs(fields: Fields) -> dict[str, Graph]:
    """Return the graphs in a manifest; raise ValueError if one makes no sense."""
    found = {key: Graph.from_fields(fields.fields(key)) for key in fields}
    if found and set(found) != set(COMPILED):
        raise ValueError("'graphs' has other entries than 'image' and 'text'")
    return found


def _preprocess(fields: Fields) -> Preprocess:
    """Return the image settings in a manifest; raise ValueError if one makes no sense."""
    fields.integers("size", 2, 1, MAX_SIDE)
    std = fields.numbers("std", 3)
    if min(std) <= 0:
        raise ValueError("'std' is not above 0")
    fields.numbers("mean", 3)
    fields.text("resize_mode", "shortest", among=get_args(ResizeMode))
    fields.text("interpolation", "bicubic", among=RESAMPLING)
    fields.integer("fill_color", 0, 255, 0)
    fields.nothing_else()
    return Preprocess.from_json(fields.values)


def _relevance(coefficients: dict[str, Any]) -> dict[str, Any]:
    """Return the coefficients of the estimates; raise ValueError if some make no sense.

    A bundle of an earlier version has others, which multiply something else: they are left out.
    """
    if not coefficients:
        return {}
    fields = Fields(coefficients, "'relevance'")
    text = fields.items("text")
    earlier = len(text) == EARLIER["text"]
    expected = [(fields, EARLIER if earlier else COEFFICIENTS)]
    if WITHOUT_PHOTOS in coefficients:
        few = Fields(fields.object(WITHOUT_PHOTOS), f"{WITHOUT_PHOTOS!r}")
        expected.append((few, COEFFICIENTS_WITHOUT_PHOTOS))
    for among, counts in expected:
        for kind, count in counts.items():
            numbers = among.numbers(kind, count)
            if not earlier and numbers[1] <= 0:
                raise ValueError(f"{kind!r} falls with the score")
    return {} if earlier else coefficients
