"""Where the parts of a named open_clip model are; what a hub holds is downloaded."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import open_clip

from indexer.bundles.names import CONFIG, Spelling
from indexer.errors import CompileError, ModelNotFound

from .hub import Hub

# In the order in which open_clip looks for them.
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True)
class Source:
    """Where a model's parts are: architecture, preprocessing, weights, tokenizer.

    config, preprocess: open_clip's `model_cfg` and `preprocess_cfg`. weights: a file.
    tokenizer: what `open_clip.get_tokenizer` is asked for. tokenizer_folder: where the files of a
    Hugging Face tokenizer are, if that is what the architecture takes.
    """

    name: str
    config: dict[str, Any]
    weights: Path
    tokenizer: str
    preprocess: dict[str, Any] = field(default_factory=dict)
    tokenizer_folder: Path | None = None


def find_source(spelling: Spelling, hub: Hub) -> Source:
    """Where the parts of a named model are; `hub` fetches what is missing."""
    if spelling.kind == "folder" and spelling.path is not None:
        config = spelling.path / CONFIG
        weights = [spelling.path / file for file in WEIGHTS]
        weights = [file for file in weights if file.is_file()]
        weights += sorted(spelling.path.glob("*.safetensors"))
        if not weights:
            raise ModelNotFound(
                f"{spelling.path} holds no weights: put {WEIGHTS[0]} beside its {CONFIG}"
            )
        name = f"local-dir:{spelling.path}"
        return _layout(spelling.path.name, config, weights[0], name)
    if spelling.kind == "checkpoint" and spelling.path is not None:
        if spelling.arch is None:
            raise ModelNotFound(
                f"{spelling.path} does not say what it holds: name its architecture with --arch "
                "(open_clip's name, such as ViT-B-32)"
            )
        arch, _, tag = spelling.arch.replace(",", "/").replace(":", "/").partition("/")
        facts, preprocess = _settings(arch, tag) if tag else (architecture(arch), {})
        folder = spelling.path.parent
        here = any((folder / name).is_file() for name in TOKENIZER_FILES)
        name = f"{spelling.arch} {spelling.path.name}"
        return Source(name, facts, spelling.path, arch, preprocess, folder if here else None)
    if spelling.kind == "hub" and spelling.repo is not None:
        config, file = hub.checkpoint(spelling.repo, WEIGHTS)
        return _layout(spelling.name, config, file, spelling.name)
    if spelling.kind == "pretrained" and spelling.arch and spelling.tag:
        return _pretrained(spelling.name, spelling.arch, spelling.tag, hub)
    raise ModelNotFound(
        f"{spelling.name!r} is no model to compile: expected ARCHITECTURE/TAG, hf-hub:org/name, "
        f"local-dir:FOLDER with an {CONFIG} and {WEIGHTS[0]}, or a checkpoint file with --arch"
    )


def _layout(name: str, config: Path, weights: Path, tokenizer: str) -> Source:
    """A model in open_clip's layout."""
    try:
        facts = json.loads(config.read_text(encoding="utf-8"))
        return Source(name, facts["model_cfg"], weights, tokenizer, facts.get("preprocess_cfg", {}))
    except (OSError, ValueError, KeyError) as exc:
        raise CompileError(f"{config} is no open_clip configuration: {exc!r}") from exc


def _pretrained(name: str, arch: str, tag: str, hub: Hub) -> Source:
    config, preprocess = _settings(arch, tag)
    repo, _, file = open_clip.get_pretrained_cfg(arch, tag)["hf_hub"].rpartition("/")
    names = (f"{Path(file).stem}.safetensors", file) if file else WEIGHTS
    weights = hub.weights(repo, names, f"run `clipdex models add {names[0]} --arch {arch}/{tag}`")
    return Source(name, config, weights, arch, preprocess)


def _settings(arch: str, tag: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Architecture and preprocessing of the weights that open_clip knows as `tag`."""
    config = architecture(arch)
    facts = open_clip.get_pretrained_cfg(arch, tag)
    if not facts:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(arch)) or "none"
        raise ModelNotFound(f"open_clip knows no weights {tag!r} for {arch}; it knows: {tags}")
    if facts.get("quick_gelu"):  # open_clip only warns, and gives vectors of no use
        config["quick_gelu"] = True
    return config, {key: facts[key] for key in ("mean", "std", "interpolation", "resize_mode")}


def architecture(arch: str) -> dict[str, Any]:
    """open_clip's configuration of an architecture. Raises ModelNotFound, naming near ones."""
    config: dict[str, Any] | None = open_clip.get_model_config(arch)
    if config is None:
        from difflib import get_close_matches

        near = ", ".join(get_close_matches(arch, open_clip.list_models(), 4, 0.4))
        raise ModelNotFound(f"open_clip knows no architecture {arch!r}; near: {near or 'none'}")
    return config
