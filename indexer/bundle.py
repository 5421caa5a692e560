"""A bundle: an encoder compiled for running without torch, as a folder.

    bundle.json        what it is (below)
    image.onnx         uint8 pixels (n, 3, h, w) -> unit vectors (n, dim)
    image.onnx.data    its weights
    text.onnx          int64 ids (n, length) -> unit vectors (n, dim)
    text.onnx.data     its weights
    tokenizer.txt      the byte-pair merges, for `text.TextTokenizer`
    bank.npy           float16 vectors (1000, dim) of captions.txt, against which scores are judged

Weights that half precision holds without loss are stored in it and widened when they are loaded.
"""

import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .encoder import Embeddings, unit
from .errors import BundleError
from .preprocess import Preprocess

FORMAT = 1
MANIFEST = "bundle.json"
BANK = "bank.npy"
FILES = ("image.onnx", "image.onnx.data", "text.onnx", "text.onnx.data", "tokenizer.txt")


@dataclass(frozen=True)
class TextSettings:
    """How the text tower wants its ids.

    cut: ids may be as long as the longest text of a batch instead of context_length.
    """

    context_length: int
    cut: bool
    clean: str
    start: int
    end: int
    pad: int
    specials: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Bundle:
    """A bundle's manifest, and where it lies.

    logit_scale: what similarities are multiplied by before a softmax (not its logarithm).
    source: what it was compiled from. licence: of the weights, in words.
    relevance: coefficients of the estimate of P(match) by kind of query, and what they were
    fitted on (`search/relevance.py`, `training/relevance.py`).
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
    def load(cls, folder: Path) -> "Bundle":
        """Read the manifest; raises BundleError where something is missing or newer."""
        try:
            facts = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError as exc:
            raise BundleError(f"{folder} is no bundle: it has no {MANIFEST}") from exc
        except (OSError, ValueError) as exc:
            raise BundleError(f"the manifest of the bundle {folder} is damaged: {exc}") from exc
        if facts.get("format") != FORMAT:
            raise BundleError(
                f"the bundle {folder} has format {facts.get('format')}, this clipdex reads "
                f"{FORMAT}: compile the model again, or upgrade clipdex"
            )
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            raise BundleError(f"the bundle {folder} lacks {', '.join(missing)}")
        try:
            return cls(
                folder,
                **{
                    **{key: value for key, value in facts.items() if key != "format"},
                    "image": Preprocess.from_json(facts["image"]),
                    "text": TextSettings(**facts["text"]),
                },
            )
        except (KeyError, TypeError) as exc:
            raise BundleError(f"the manifest of the bundle {folder} is incomplete: {exc}") from exc

    def save(self) -> None:
        """Write the manifest beside the graphs."""
        facts: dict[str, Any] = {"format": FORMAT, **asdict(self), "image": self.image.to_json()}
        del facts["folder"]
        text = json.dumps(facts, indent=1, ensure_ascii=False)
        (self.folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
