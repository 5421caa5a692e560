"""A bundle: an encoder compiled for running without torch, as a folder.

    bundle.json        what it is (below)
    image.onnx         uint8 pixels (n, 3, h, w) -> unit vectors (n, dim)
    image.onnx.data    its weights
    text.onnx          int64 ids (n, length) -> unit vectors (n, dim)
    text.onnx.data     its weights
    tokenizer.txt      the byte-pair merges, for `text.TextTokenizer`; or
    tokenizer.json     a tokenizer of Hugging Face, for `hf_text.HuggingFaceTokenizer`
    bank.npy           float16 vectors (1000, dim) of captions.txt, against which scores are judged

Weights that half precision holds without loss are stored in it and widened when they are loaded.
"""

import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from indexer.encoder import Embeddings, unit
from indexer.errors import BundleError
from indexer.images.preprocess import Preprocess

from .names import MANIFEST

FORMAT = 1
BANK = "bank.npy"
FILES = ("image.onnx", "image.onnx.data", "text.onnx", "text.onnx.data")
TOKENIZERS = {"bpe": "tokenizer.txt", "huggingface": "tokenizer.json"}


@dataclass(frozen=True)
class TextSettings:
    """How the text tower wants its ids.

    kind: "bpe" (CLIP's own) or "huggingface".
    cut: ids may be as long as the longest text of a batch instead of context_length.
    start, end, specials: of the first kind. blank, clips: of the second (`hf_text`).
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

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> Self:
        """From the manifest's object; raises KeyError for an unknown kind."""
        clips = settings.get("clips")
        made = cls(**{**settings, "clips": tuple(clips) if clips else None})
        _ = TOKENIZERS[made.kind]
        return made

    @property
    def file(self) -> str:
        """The tokenizer's file in the bundle."""
        return TOKENIZERS[self.kind]


@dataclass(frozen=True)
class Bundle:
    """A bundle's manifest, and where it lies.

    logit_scale: what similarities are multiplied by before a softmax (not its logarithm).
    source: what it was compiled from. licence: of the weights, in words.
    relevance: coefficients of the estimate of P(match) by kind of query, and what they were
    fitted on (`search/relevance.py`, `scripts/relevance.py`).
    checksums: BLAKE3 of each file, by its name; empty in a bundle of an earlier version.
    quantized: of an 8-bit image tower, the fingerprint of the model that it was made from (`base`)
    and what it loses against that (`loss`, see `precision`).
    tuned: of a model that `clipdex adapt tune` or `merge` made, its base's fingerprint (`base`) and
    name (`base_name`), settings and figures.
    architecture: open_clip's `model_cfg`, for building the image tower in torch; likewise empty.
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

    @cached_property
    def bank(self) -> Embeddings | None:
        """`(captions, dim)`: vectors of captions of everything; None in a bundle without them."""
        try:
            return unit(np.load(self.folder / BANK, allow_pickle=False))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            raise BundleError(f"{self.folder / BANK} is damaged: {exc}") from exc

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the manifest; raises BundleError where something is missing or newer."""
        try:
            metadata = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError as exc:
            raise BundleError(f"{folder} is not a bundle: it has no {MANIFEST}") from exc
        except (OSError, ValueError) as exc:
            raise BundleError(f"the manifest of the bundle {folder} is damaged: {exc}") from exc
        if metadata.get("format") != FORMAT:
            raise BundleError(
                f"the bundle {folder} has format {metadata.get('format')}, this clipdex reads "
                f"{FORMAT}: compile the model again, or upgrade clipdex"
            )
        kind = metadata.get("text", {}).get("kind", "bpe")
        files = (*FILES, TOKENIZERS.get(kind, MANIFEST))
        missing = [name for name in files if not (folder / name).is_file()]
        if missing:
            raise BundleError(f"the bundle {folder} lacks {', '.join(missing)}")
        try:
            return cls(
                folder,
                **{
                    **{key: value for key, value in metadata.items() if key != "format"},
                    "image": Preprocess.from_json(metadata["image"]),
                    "text": TextSettings.from_json(metadata["text"]),
                },
            )
        except (KeyError, TypeError) as exc:
            raise BundleError(f"the manifest of the bundle {folder} is incomplete: {exc}") from exc

    @property
    def files(self) -> tuple[str, ...]:
        """The names of its files beside the manifest."""
        bank = (BANK,) if (self.folder / BANK).is_file() else ()
        return (*FILES, self.text.file, *bank)

    @property
    def bytes(self) -> int:
        """What it takes on disk."""
        return sum((self.folder / name).stat().st_size for name in (*self.files, MANIFEST))

    def save(self) -> None:
        """Write the manifest beside the graphs."""
        metadata: dict[str, Any] = {"format": FORMAT, **asdict(self), "image": self.image.to_json()}
        del metadata["folder"]
        text = json.dumps(metadata, indent=1, ensure_ascii=False)
        (self.folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
