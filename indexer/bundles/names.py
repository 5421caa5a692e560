"""The ways to write a model's name, taken apart.

pocket                           the built-in model
FOLDER                           a bundle, or a checkpoint in open_clip's layout
ViT-B-32/laion2b_s34b_b79k       open_clip's architecture and weights tag; `,` and `:` do too
hf-hub:org/name                  a repository of the Hugging Face hub in open_clip's layout
local-dir:FOLDER                 a checkpoint in open_clip's layout
FILE.safetensors                 a checkpoint file; its architecture comes with --arch
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from indexer.errors import ModelNotFound

BUILT_IN = "pocket"
MANIFEST = "bundle.json"
CONFIG = "open_clip_config.json"
CHECKPOINTS = (".safetensors", ".pt", ".pth", ".bin")

Kind = Literal["built-in", "bundle", "pretrained", "hub", "folder", "checkpoint", "added"]


@dataclass(frozen=True)
class ModelName:
    """A model's name. `name` is written the same way however the user wrote it, and parses to
    the same again.

    arch, tag: open_clip's names (`pretrained`; `arch` also of a checkpoint). repo: of the hub.
    path: absolute, of a bundle, folder or checkpoint.
    """

    name: str
    kind: Kind
    arch: str | None = None
    tag: str | None = None
    repo: str | None = None
    path: Path | None = None


def parse(name: str, arch: str | None = None) -> ModelName:
    """Take `name` apart; reads no more of the disk than whether a path is there.

    arch: of a checkpoint file. Raises ModelNotFound for what is not a model's name.
    """
    model_name = _parse(name, arch)
    if arch is not None and model_name.kind not in ("checkpoint", "added"):
        raise ModelNotFound(
            f"--arch says what a checkpoint file holds, and {name!r} is none: leave it out"
        )
    return model_name


def _parse(name: str, arch: str | None) -> ModelName:
    if name == BUILT_IN:
        return ModelName(BUILT_IN, "built-in")
    if name.startswith("hf-hub:"):
        repo = name.removeprefix("hf-hub:").strip("/")
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
            raise ModelNotFound(f"{name!r} is not a name of the hub: write hf-hub:org/name")
        return ModelName(f"hf-hub:{repo}", "hub", repo=repo)
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
        f"{name!r} is not a model: write {BUILT_IN}, ARCHITECTURE/TAG "
        f"(ViT-B-32/laion2b_s34b_b79k), hf-hub:org/name, a folder with {MANIFEST} or {CONFIG}, "
        "or a checkpoint file with --arch"
    )


def _folder(path: Path) -> ModelName:
    path = path.resolve()
    if not (path / CONFIG).is_file():
        raise ModelNotFound(
            f"{path} is not a model to compile: local-dir:FOLDER expects an {CONFIG} and an "
            "open_clip_model.safetensors in it"
        )
    return ModelName(f"local-dir:{path}", "folder", path=path)


def _checkpoint(path: Path, arch: str | None) -> ModelName:
    path = path.resolve()
    if not path.is_file():
        raise ModelNotFound(f"there is no checkpoint {path}")
    return ModelName(str(path), "checkpoint", arch=arch, path=path)


BUILT_IN_FOLDER = Path(__file__).parents[1] / "pocket"
