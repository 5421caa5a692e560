"""Finds the parts of a named open_clip model, downloading what a hub holds."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import open_clip

from indexer.errors import CompileError, ModelNotFound
from indexer.hub import Hub
from indexer.model_name import CONFIG, ModelName
from indexer.text_files import read_text

# In the order in which open_clip looks for them.
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True)
class Source:
    """The parts of a model: architecture, preprocessing, weights, tokenizer.

    Attributes:
        name: Of the model, in words.
        config: open_clip's `model_cfg`.
        weights: The file.
        tokenizer: The argument of `open_clip.get_tokenizer`.
        preprocess: open_clip's `preprocess_cfg`.
        tokenizer_folder: Holds the files of a Hugging Face tokenizer, if the architecture has one.
    """

    name: str
    config: dict[str, Any]
    weights: Path
    tokenizer: str
    preprocess: dict[str, Any] = field(default_factory=dict)
    tokenizer_folder: Path | None = None


def find_source(model_name: ModelName, hub: Hub) -> Source:
    """Find the parts of a model.

    Args:
        model_name: A pretrained model, a model of a hub, a folder or a checkpoint.
        hub: Downloads what is missing.

    Raises:
        ModelNotFound: The name leads to no model that open_clip can load.
        CompileError: The configuration is not open_clip's.
        DownloadError: A file cannot be downloaded.
    """
    if model_name.kind == "folder" and model_name.path is not None:
        config = model_name.path / CONFIG
        weights = [model_name.path / file for file in WEIGHTS]
        weights = [file for file in weights if file.is_file()]
        weights += sorted(model_name.path.glob("*.safetensors"))
        if not weights:
            raise ModelNotFound(
                f"{model_name.path} holds no weights: put {WEIGHTS[0]} beside its {CONFIG}"
            )
        name = f"local-dir:{model_name.path}"
        return _layout(model_name.path.name, config, weights[0], name)
    if model_name.kind == "checkpoint" and model_name.path is not None:
        if model_name.arch is None:
            raise ModelNotFound(
                f"{model_name.path} does not name its architecture: give it with --arch "
                "(open_clip's name, such as ViT-B-32)"
            )
        arch, _, tag = model_name.arch.replace(",", "/").replace(":", "/").partition("/")
        settings, preprocess = _settings(arch, tag) if tag else (architecture(arch), {})
        folder = model_name.path.parent
        here = any((folder / name).is_file() for name in TOKENIZER_FILES)
        name = f"{model_name.arch} {model_name.path.name}"
        return Source(name, settings, model_name.path, arch, preprocess, folder if here else None)
    if model_name.kind == "hub" and model_name.repo is not None:
        config, file = hub.checkpoint(model_name.repo, WEIGHTS)
        return _layout(model_name.name, config, file, model_name.name)
    if model_name.kind == "pretrained" and model_name.arch and model_name.tag:
        return _pretrained(model_name.name, model_name.arch, model_name.tag, hub)
    raise ModelNotFound(
        f"{model_name.name!r} is not a model that can be compiled: give ARCHITECTURE/TAG, "
        f"hf-hub:org/name, local-dir:FOLDER with an {CONFIG} and {WEIGHTS[0]}, or a "
        "checkpoint file with --arch"
    )


def _layout(name: str, config: Path, weights: Path, tokenizer: str) -> Source:
    """Return the parts of a model in open_clip's layout."""
    try:
        settings = json.loads(read_text(config))
        return Source(
            name, settings["model_cfg"], weights, tokenizer, settings.get("preprocess_cfg", {})
        )
    except (OSError, ValueError, KeyError) as exc:
        raise CompileError(f"{config} is not an open_clip configuration: {exc!r}") from exc


def _pretrained(name: str, arch: str, tag: str, hub: Hub) -> Source:
    config, preprocess = _settings(arch, tag)
    repo, _, file = open_clip.get_pretrained_cfg(arch, tag)["hf_hub"].rpartition("/")
    names = (f"{Path(file).stem}.safetensors", file) if file else WEIGHTS
    weights = hub.weights(repo, names, f"run `clipdex models add {names[0]} --arch {arch}/{tag}`")
    return Source(name, config, weights, arch, preprocess)


def _settings(arch: str, tag: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return architecture and preprocessing of the weights that open_clip calls `tag`."""
    config = architecture(arch)
    settings = open_clip.get_pretrained_cfg(arch, tag)
    if not settings:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(arch)) or "none"
        raise ModelNotFound(f"open_clip has no weights {tag!r} for {arch}; it has: {tags}")
    if settings.get("quick_gelu"):  # open_clip only warns, and its vectors would be useless
        config["quick_gelu"] = True
    return config, {key: settings[key] for key in ("mean", "std", "interpolation", "resize_mode")}


def architecture(arch: str) -> dict[str, Any]:
    """Return open_clip's configuration of an architecture.

    Raises:
        ModelNotFound: There is none; the message names similar ones.
    """
    config: dict[str, Any] | None = open_clip.get_model_config(arch)
    if config is None:
        from difflib import get_close_matches

        near = ", ".join(get_close_matches(arch, open_clip.list_models(), 4, 0.4))
        raise ModelNotFound(
            f"open_clip has no architecture {arch!r}; similar ones: {near or 'none'}"
        )
    return config
