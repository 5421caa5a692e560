"""The image tower cache: open_clip's image tower, for GPUs, beside a model's bundle.

models/<fingerprint>/torch/
    open_clip_config.json    open_clip's `model_cfg`, and the checksum of the weights
    visual.safetensors       the image tower's weights, by open_clip's names

A bundle holds graphs, and what they were compiled from may be gone by the time there is a GPU. So
the tower is cached when it is first used, and read from here afterwards.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from blake3 import blake3
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from indexer.bundles import cache
from indexer.errors import CompileError
from indexer.json_files import read_json
from indexer.model_name import CONFIG

from .image_tower import build_visual

FOLDER = "torch"
WEIGHTS = "visual.safetensors"


def save_tower(visual: nn.Module, config: dict[str, Any], mark: str) -> None:
    """Write an image tower into the cache, beside and then renamed into place.

    Args:
        visual: The tower.
        config: open_clip's `model_cfg`.
        mark: The model's fingerprint.

    Raises:
        CompileError: The cache cannot be written.
    """
    folder = cache.models_folder() / mark / FOLDER
    # Cloned, since safetensors refuses tensors that share their memory.
    weights = {name: one.detach().contiguous().clone() for name, one in visual.state_dict().items()}
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{FOLDER}-", dir=folder.parent))
        try:
            save_file(weights, str(work / WEIGHTS))
            manifest = {"model_cfg": config, "fingerprint": mark, "blake3": _digest(work / WEIGHTS)}
            (work / CONFIG).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
            # safetensors makes it unreadable for other users.
            (work / WEIGHTS).chmod((work / CONFIG).stat().st_mode)
            work.chmod(0o755)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(work, folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except (OSError, SafetensorError) as exc:
        raise CompileError(
            f"cannot cache the image tower in {folder}: {exc}. Set ${cache.CACHE} to a "
            "writable folder"
        ) from exc


def read_tower(mark: str) -> nn.Module | None:
    """Read an image tower from the cache.

    Args:
        mark: The model's fingerprint.

    Returns:
        None if there is none, or its files are not those that were written.
    """
    folder = cache.models_folder() / mark / FOLDER
    try:
        manifest = read_json(folder / CONFIG)
        if manifest["fingerprint"] != mark or manifest["blake3"] != _digest(folder / WEIGHTS):
            return None
        visual = build_visual(manifest["model_cfg"])
        visual.load_state_dict(load_file(str(folder / WEIGHTS)), strict=True)
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RuntimeError,
        SafetensorError,
    ):
        return None  # it is made again
    return visual


def _digest(file: Path) -> str:
    hasher = blake3(max_threads=blake3.AUTO)
    hasher.update_mmap(file)
    return hasher.hexdigest()
