"""Loads open_clip's models for compilation. One of the few modules that import torch."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from blake3 import blake3
from open_clip.factory import load_checkpoint
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from indexer.encoder import Embeddings
from indexer.errors import ClipdexError, CompileError
from indexer.hub import Hub
from indexer.images.preprocess import Preprocess
from indexer.model_name import CONFIG, ModelName, parse
from indexer.tokenizers.bpe import TokenIds

from .quiet import quiet
from .sources import Source, find_source


@dataclass(frozen=True)
class LoadedModel:
    """A model as open_clip loads it, in float32 and evaluation mode.

    Attributes:
        source: What it was loaded from, in words.
        config: The architecture, open_clip's `model_cfg`.
        model: open_clip's model.
        transform: open_clip's own preprocessing, from a Pillow image to `(3, h, w)` normalized
            float32.
        tokenizer: open_clip's own; None in a survey of architectures without their tokenizers.
        preprocess: The settings of `transform`.
    """

    source: str
    config: dict[str, Any]
    model: Any
    transform: Any
    tokenizer: Any
    preprocess: Preprocess

    @property
    def context_length(self) -> int:
        """How many ids open_clip's tokenizer gives for a text."""
        return int(self.tokenizer.context_length)

    @property
    def random_reduction(self) -> bool:
        """Whether the tokenizer drops random tokens of a text that is too long."""
        return getattr(self.tokenizer, "reduction_fn", None) is not None

    @property
    def pads_right(self) -> bool:
        """Whether padding follows the text."""
        inner = getattr(self.tokenizer, "tokenizer", None)
        return getattr(inner, "padding_side", "right") == "right"

    def encode_images(self, images: list[Image.Image]) -> Embeddings:
        """Return open_clip's own vectors of images, `(n, dim)` of unit norm."""
        parts = []
        for image in images:  # one by one, since the activations of a large model take memory
            with torch.inference_mode():
                pixels = self.transform(image)[None]
                parts.append(self.model.encode_image(pixels, normalize=True).numpy())
        return np.concatenate(parts)

    def encode_texts(self, texts: list[str]) -> Embeddings:
        """Return open_clip's own vectors of texts, `(n, dim)` of unit norm."""
        return self.encode_ids(np.asarray(self.tokenizer(texts)))

    def encode_ids(self, ids: TokenIds) -> Embeddings:
        """Return open_clip's own vectors of ids `(n, context_length)`, `(n, dim)` of unit norm."""
        parts = []
        for at in range(0, len(ids), 16):
            with torch.inference_mode():
                part = torch.as_tensor(ids[at : at + 16])
                parts.append(self.model.encode_text(part, normalize=True).numpy())
        return np.concatenate(parts)


def load(spec: str | ModelName, arch: str | None = None, *, hub: Hub | None = None) -> LoadedModel:
    """Load a model, downloading what a hub holds.

    Weights are read from safetensors, or from torch files that hold nothing but tensors.

    Args:
        spec: A model name, parsed or not.
        arch: The architecture of a checkpoint file.
        hub: What downloads files; a new `Hub` if None.

    Raises:
        ModelNotFound: The name leads to no model.
        CompileError: The weights or the tokenizer cannot be loaded.
        DownloadError: A file cannot be downloaded.
    """
    model_name = spec if isinstance(spec, ModelName) else parse(spec, arch)
    source = find_source(model_name, hub or Hub())
    model = build(source.config, source.preprocess)
    try:
        load_checkpoint(model, str(source.weights), strict=True, weights_only=True)
    except Exception as exc:  # open_clip, torch and safetensors raise many kinds
        raise CompileError(
            f"the weights {source.weights} do not load into {model_name.name}: {_line(exc)}"
        ) from exc
    tokenizer = find_tokenizer(source)
    return loaded_model(source.name, source.config, model, tokenizer)


def build(config: dict[str, Any], preprocess: dict[str, Any], device: str = "cpu") -> Any:
    """Return open_clip's model of a configuration, without loading weights.

    Args:
        config: open_clip's `model_cfg`.
        preprocess: open_clip's `preprocess_cfg`.
        device: torch's name of the device.

    Raises:
        CompileError: open_clip cannot build the model.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = {"model_cfg": config, "preprocess_cfg": preprocess}
        (Path(folder) / CONFIG).write_text(json.dumps(settings))
        try:
            with quiet():  # it warns that no weights were loaded; they are loaded later
                return open_clip.create_model(
                    f"local-dir:{folder}",
                    load_weights=False,
                    pretrained_text=False,
                    precision="fp32",
                    device=device,
                )
        except Exception as exc:  # open_clip, timm and transformers raise many kinds
            needs = config.get("text_cfg", {}).get("hf_model_name")
            hint = (
                f". Its text tower needs the config.json of {needs}: put it into a folder, and "
                f"name that folder as hf_model_name in an {CONFIG} beside the weights"
            )
            raise CompileError(
                f"open_clip cannot build this model: {_line(exc)}{hint if needs else ''}"
            ) from exc


def find_tokenizer(source: Source) -> Any:
    """Return open_clip's own tokenizer of a model.

    Raises:
        CompileError: The tokenizer's files, or the package that reads them, are missing.
    """
    text = source.config.get("text_cfg", {})
    try:
        if source.tokenizer_folder is not None and text.get("hf_tokenizer_name"):
            return open_clip.tokenizer.HFTokenizer(
                str(source.tokenizer_folder),
                context_length=text.get("context_length", 77),
                tokenizer_mode=text.get("tokenizer_mode"),
                **text.get("tokenizer_kwargs", {}),
            )
        return open_clip.get_tokenizer(source.tokenizer)
    except ClipdexError:
        raise
    except ImportError as exc:
        raise CompileError(
            "this model's tokenizer needs transformers: pip install 'clipdex[torch]'"
        ) from exc
    except Exception as exc:  # transformers raises many kinds
        needs = text.get("hf_tokenizer_name", "the model")
        raise CompileError(
            f"the tokenizer of {needs} is missing ({_line(exc)}): put its tokenizer.json and "
            f"tokenizer_config.json (https://huggingface.co/{needs}) beside the weights, and run "
            f"`clipdex models add` on the weights, or on their folder if it has an {CONFIG}"
        ) from exc


def loaded_model(source: str, config: dict[str, Any], model: Any, tokenizer: Any) -> LoadedModel:
    """Return a model with its transform and preprocessing settings.

    Args:
        source: What it was loaded from, in words.
        config: open_clip's `model_cfg`.
        model: open_clip's model.
        tokenizer: open_clip's tokenizer.
    """
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
    transform = image_transform_v2(PreprocessCfg(**settings), is_train=False)
    return LoadedModel(source, config, model, transform, tokenizer, preprocess)


def fingerprint(loaded: LoadedModel, tokenizer_file: str) -> str:
    """Return a model's fingerprint, 32 hex digits.

    It is a hash of the weights (name, shape, float32 values), architecture, preprocessing and
    tokenizer, and does not depend on the versions of torch and open_clip.

    Args:
        loaded: The model.
        tokenizer_file: The content of the tokenizer's file in a bundle.
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


def _line(exc: Exception) -> str:
    """Return another library's error as one short line."""
    text = " ".join(str(exc).split())
    return text if len(text) <= 200 else text[:197] + "..."
