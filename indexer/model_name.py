"""Parses model names, in all of their forms.

pocket                           the built-in model
pocket-v0                        the built-in model of earlier versions
FOLDER                           a bundle, or a checkpoint in open_clip's layout
ViT-B-32/laion2b_s34b_b79k       open_clip's architecture and weights tag, or with `,` or `:`
hf-hub:org/name                  a repository of the Hugging Face hub in open_clip's layout
local-dir:FOLDER                 a checkpoint in open_clip's layout
FILE.safetensors                 a checkpoint file, whose architecture --arch names
immich-app/NAME, Xenova/NAME     a repository of the hub with graphs that others exported to ONNX
org/name/MODEL                   one of several models of such a repository
https://huggingface.co/org/name  any such repository
NAME@REVISION                    another revision of such a repository than main
NAME:VARIANT                     a quantized variant of its graphs, such as q4
"""

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from .errors import ModelNotFound

BUILT_IN = "pocket"
# Of the name of the 8-bit model that is derived from another.
INT8_SUFFIX = "+int8"
MANIFEST = "bundle.json"
CONFIG = "open_clip_config.json"
CHECKPOINTS = (".safetensors", ".pt", ".pth", ".bin")

Kind = Literal["built-in", "bundle", "pretrained", "hub", "export", "folder", "checkpoint", "added"]
# Whose repositories on the hub hold exported graphs; others are named by the address of their page.
EXPORTERS = ("immich-app", "Xenova", "onnx-community", "Qdrant", "yurijmikhalevich", "Marqo")
# Graphs whose places tell such a folder from others (`indexer.exports.layouts`).
EXPORTED = (
    "visual/model.onnx", "onnx/vision_model*.onnx", "*/visual.onnx", "*-vision/model.onnx"
)  # fmt: skip
VARIANT = r"fp16|int8|uint8|quantized|q4|q4f16|bnb4"
HUB_URLS = ("https://huggingface.co/", "https://hf.co/")


@dataclass(frozen=True)
class ModelName:
    """A parsed model name.

    Attributes:
        name: In normal form, however the user wrote it; parses to the same again.
        kind: Which form it has.
        arch: open_clip's name of the architecture, of a pretrained model or a checkpoint file.
        tag: open_clip's name of the weights of a pretrained model; of an export, which of several
            models of its repository.
        repo: A repository of the hub, "organization/name".
        revision: Of the repository of an export; None for its main branch.
        variant: Of the graphs of an export, such as "q4"; None for full precision.
        path: Of a bundle, folder or checkpoint, absolute.
    """

    name: str
    kind: Kind
    arch: str | None = None
    tag: str | None = None
    repo: str | None = None
    path: Path | None = None
    revision: str | None = None
    variant: str | None = None


def parse(name: str, arch: str | None = None) -> ModelName:
    """Parse a model name, looking at the disk only for whether a path exists.

    Args:
        name: As the user wrote it.
        arch: The architecture of a checkpoint file.

    Raises:
        ModelNotFound: This is not a model name.
    """
    model_name = _parse(name, arch)
    if arch is not None and model_name.kind not in ("checkpoint", "added"):
        raise ModelNotFound(
            f"--arch names the architecture of a checkpoint file, and {name!r} is not one: leave "
            "--arch out"
        )
    return model_name


def _parse(name: str, arch: str | None) -> ModelName:
    if name in BUILT_INS:
        return ModelName(name, "built-in")
    if name.startswith("hf-hub:"):
        repo = name.removeprefix("hf-hub:").strip("/")
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
            raise ModelNotFound(f"{name!r} is not a repository of the hub: give hf-hub:org/name")
        return ModelName(f"hf-hub:{repo}", "hub", repo=repo)
    plain, _, variant = name.rpartition(":")
    if re.fullmatch(VARIANT, variant) and (export := _export(plain)):
        return replace(export, name=f"{export.name}:{variant}", variant=variant)
    if export := _export(name):
        return export
    if name.startswith("local-dir:"):
        return _folder(Path(name.removeprefix("local-dir:")))
    path = Path(name)
    if (path / MANIFEST).is_file():
        return ModelName(str(path.resolve()), "bundle", path=path.resolve())
    if (path / CONFIG).is_file():
        return _folder(path)
    if path.suffix in CHECKPOINTS:
        return _checkpoint(path, arch)
    parts = re.fullmatch(r"([\w.-]+)[/,:]([\w.-]+)", name)
    if parts and not path.exists():
        return ModelName(f"{parts[1]}/{parts[2]}", "pretrained", arch=parts[1], tag=parts[2])
    if re.fullmatch(r"[\w.+-]+", name):
        return ModelName(name, "added", arch=arch)
    raise ModelNotFound(
        f"{name!r} is not a model: give {BUILT_IN}, ARCHITECTURE/TAG "
        f"(ViT-B-32/laion2b_s34b_b79k), hf-hub:org/name, a folder with {MANIFEST} or {CONFIG}, "
        "or a checkpoint file with --arch"
    )


def _export(name: str) -> ModelName | None:
    """Return the name of an export: a folder, or on the hub, perhaps as its page's address."""
    path = Path(name)
    described = (path / MANIFEST).is_file() or (path / CONFIG).is_file()
    if not described and any(next(path.glob(pattern), None) for pattern in EXPORTED):
        return ModelName(str(path.resolve()), "export", path=path.resolve())
    plain = name
    for url in (*HUB_URLS, f"{os.environ.get('HF_ENDPOINT', '').rstrip('/')}/"):
        if len(url) > 1 and name.startswith(url):
            plain = re.sub(r"/(?:tree|blob|resolve)/([^/]+).*", r"@\1", name.removeprefix(url))
    found = re.fullmatch(r"([\w.-]+/[\w.-]+?)(?:/([\w.-]+))?(?:@([\w./-]+))?/?", plain)
    if not found or (plain == name and plain.partition("/")[0] not in EXPORTERS):
        return None
    repo, model, revision = found[1], found[2], found[3]
    if {".", ".."} & {*re.split("[/@]", plain)}:
        raise ModelNotFound(f"{name!r} is not a repository of the hub: give org/name")
    if revision == "main":
        revision = None
    normal = repo + (f"/{model}" if model else "") + (f"@{revision}" if revision else "")
    return ModelName(normal, "export", repo=repo, tag=model, revision=revision)


def _folder(path: Path) -> ModelName:
    path = path.resolve()
    if not (path / CONFIG).is_file():
        raise ModelNotFound(
            f"{path} is not a model in open_clip's layout: local-dir:FOLDER needs an {CONFIG} and "
            "an open_clip_model.safetensors in the folder"
        )
    return ModelName(f"local-dir:{path}", "folder", path=path)


def _checkpoint(path: Path, arch: str | None) -> ModelName:
    path = path.resolve()
    if not path.is_file():
        raise ModelNotFound(f"no such checkpoint: {path}")
    return ModelName(str(path), "checkpoint", arch=arch, path=path)


BUILT_IN_FOLDER = Path(__file__).parent / BUILT_IN
# The built-in model of earlier versions: collections that hold its vectors go on with it.
FORMER = "pocket-v0"
FORMER_FINGERPRINT = "d0d2f3f7e7453eb5623ea9c2f6060703"
# All that clipdex carries, by their names.
BUILT_INS = {BUILT_IN: BUILT_IN_FOLDER, FORMER: Path(__file__).parent / "pocket_v0"}


def current_name(name: str, fingerprint: str) -> str:
    """Return what a model that a collection knows by a name is called now."""
    return FORMER if (name, fingerprint) == (BUILT_IN, FORMER_FINGERPRINT) else name
