"""The image tower as open_clip has it, kept for GPUs beside a model's bundle in the cache.

models/<fingerprint>/torch/
    open_clip_config.json    open_clip's `model_cfg`, and the checksum of the weights
    visual.safetensors       the image tower's weights, by open_clip's names

A bundle holds graphs, and what they were compiled from may be gone by the time a GPU is there: so
the tower is kept the first time it is used, and read from here from then on.
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
from indexer.bundles.names import CONFIG
from indexer.errors import CompileError

from .image_tower import build_visual

FOLDER = "torch"
WEIGHTS = "visual.safetensors"


def keep_tower(visual: nn.Module, config: dict[str, Any], mark: str) -> None:
    """Write the image tower of the model with fingerprint `mark` beside and rename it into place.

    config: open_clip's `model_cfg`. Raises CompileError where the cache cannot be written.
    """
    folder = cache.models_folder() / mark / FOLDER
    # Cloned, since safetensors refuses tensors that share their memory.
    weights = {name: one.detach().contiguous().clone() for name, one in visual.state_dict().items()}
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{FOLDER}-", dir=folder.parent))
        try:
            save_file(weights, str(work / WEIGHTS))
            metadata = {"model_cfg": config, "fingerprint": mark, "blake3": _digest(work / WEIGHTS)}
            (work / CONFIG).write_text(json.dumps(metadata, indent=1), encoding="utf-8")
            # safetensors lets nobody else read it.
            (work / WEIGHTS).chmod((work / CONFIG).stat().st_mode)
            work.chmod(0o755)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(work, folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except (OSError, SafetensorError) as exc:
        raise CompileError(
            f"cannot keep the image tower in {folder}: {exc}. Name a writable place with "
            f"${cache.ENVIRONMENT}"
        ) from exc


def read_tower(mark: str) -> nn.Module | None:
    """The kept image tower of the model with fingerprint `mark`; None where there is none, or its
    files are not those that were written.
    """
    folder = cache.models_folder() / mark / FOLDER
    try:
        metadata = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if metadata["fingerprint"] != mark or metadata["blake3"] != _digest(folder / WEIGHTS):
            return None
        visual = build_visual(metadata["model_cfg"])
        visual.load_state_dict(load_file(str(folder / WEIGHTS)), strict=True)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError):
        return None  # made anew
    return visual


def _digest(file: Path) -> str:
    hasher = blake3(max_threads=blake3.AUTO)
    hasher.update_mmap(file)
    return hasher.hexdigest()
