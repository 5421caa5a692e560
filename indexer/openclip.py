"""open_clip's models, loaded for compiling. One of the few places that import torch."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from blake3 import blake3
from open_clip.tokenizer import SimpleTokenizer
from PIL import Image

from .errors import CompileError, ModelNotFound
from .preprocess import Preprocess

# open_clip's cleaning functions under the names of `text.CLEANERS`.
CLEANERS = {
    "_clean_lower": "lower",
    "_clean_whitespace": "whitespace",
    "_clean_canonicalize": "canonicalize",
}


@dataclass(frozen=True)
class LoadedModel:
    """A model as open_clip gives it, in float32 and evaluation mode.

    config: the architecture, open_clip's `model_cfg`.
    transform: open_clip's own preprocessing, PIL image to `(3, h, w)` normalised float32.
    """

    spec: str
    config: dict[str, Any]
    model: Any
    transform: Any
    tokenizer: Any
    preprocess: Preprocess

    def encode_images(self, images: list[Image.Image]) -> np.ndarray[Any, Any]:
        """open_clip's own answer: `(n, dim)` unit vectors."""
        batch = torch.stack([self.transform(image) for image in images])
        with torch.inference_mode():
            vectors: np.ndarray[Any, Any] = self.model.encode_image(batch, normalize=True).numpy()
        return vectors

    def encode_texts(self, texts: list[str]) -> np.ndarray[Any, Any]:
        """open_clip's own answer: `(n, dim)` unit vectors."""
        with torch.inference_mode():
            ids = self.tokenizer(texts)
            vectors: np.ndarray[Any, Any] = self.model.encode_text(ids, normalize=True).numpy()
        return vectors


def load(spec: str) -> LoadedModel:
    """The model of a `local-dir:FOLDER` in open_clip's layout. Weights: safetensors only."""
    folder = Path(spec.removeprefix("local-dir:"))
    if not spec.startswith("local-dir:") or not (folder / "open_clip_config.json").is_file():
        raise ModelNotFound(
            f"{spec!r} is no model to compile: expected local-dir:FOLDER, where FOLDER holds an "
            "open_clip_config.json and an open_clip_model.safetensors"
        )
    try:
        model, _, transform = open_clip.create_model_and_transforms(
            spec, weights_only=True, precision="fp32"
        )
        tokenizer = open_clip.get_tokenizer(spec)
    except Exception as exc:  # open_clip, timm and safetensors raise what they like
        raise CompileError(f"open_clip cannot load {spec}: {exc}") from exc
    model.eval()
    settings = open_clip.get_model_preprocess_cfg(model)
    size = settings["size"]
    preprocess = Preprocess(
        size=(size, size) if isinstance(size, int) else tuple(size),
        mean=tuple(settings["mean"]),
        std=tuple(settings["std"]),
        resize_mode=settings.get("resize_mode", "shortest"),
        interpolation=settings.get("interpolation", "bicubic"),
        fill_color=settings.get("fill_color", 0),
    )
    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    return LoadedModel(spec, config, model, transform, tokenizer, preprocess)


def fingerprint(loaded: LoadedModel, tokenizer_file: str) -> str:
    """32 hex digits over weights (name, shape, float32 values), architecture, preprocessing and
    tokenizer; the same whatever versions of torch and open_clip loaded them.
    """
    hasher = blake3()
    for name, tensor in sorted(loaded.model.state_dict().items()):
        array = tensor.detach().to(torch.float32).contiguous().numpy()
        hasher.update(f"{name} {array.shape}".encode())
        hasher.update(array.tobytes())
    for settings in (loaded.config, loaded.preprocess.to_json()):
        hasher.update(json.dumps(settings, sort_keys=True).encode())
    hasher.update(tokenizer_file.encode())
    return hasher.hexdigest(length=16)


def convert_tokenizer(tokenizer: Any, context_length: int) -> tuple[str, dict[str, Any]]:
    """CLIP's byte-pair tokenizer as (the file that `text.TextTokenizer` reads, its settings).

    Raises CompileError for a tokenizer of another kind.
    """
    if type(tokenizer) is not SimpleTokenizer:
        raise CompileError(
            f"the tokenizer {type(tokenizer).__name__} cannot be compiled by this version, only "
            "CLIP's own byte-pair tokenizer"
        )
    characters = " ".join(tokenizer.byte_encoder.values())
    merges = [" ".join(pair) for pair in tokenizer.bpe_ranks]
    settings = {
        "context_length": context_length,
        "clean": CLEANERS[tokenizer.clean_fn.__name__],
        "start": tokenizer.sot_token_id,
        "end": tokenizer.eot_token_id,
        "pad": 0,
        "specials": {token: tokenizer.encoder[token] for token in tokenizer.cache},
    }
    return "\n".join([characters, *merges]) + "\n", settings
