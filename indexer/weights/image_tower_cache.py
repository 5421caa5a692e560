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
from collections.abc import Callable
from pathlib import Path
from typing import Any

from blake3 import blake3
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from indexer.bundles import cache
from indexer.bundles.bundle import Bundle
from indexer.bundles.names import BUILT_IN, CONFIG, parse
from indexer.compile.tokenizer_export import convert_tokenizer
from indexer.errors import ClipdexError, CompileError, ModelError
from indexer.openclip.image_tower import build_visual
from indexer.openclip.loader import LoadedModel, fingerprint, load

from .image_tower import tower_from_graph

FOLDER = "torch"
WEIGHTS = "visual.safetensors"
Report = Callable[[str], None]


def obtain_tower(bundle: Bundle, on_progress: Report = lambda line: None) -> nn.Module:
    """Return a model's image tower on the CPU, in float32.

    It is read from the cache, or restored from the bundle's graph or what that was compiled from
    (downloaded again if need be), and then cached.

    Args:
        bundle: The compiled model.
        on_progress: Called with a line of text on what is being done.

    Raises:
        ModelError: The weights cannot be found.
    """
    # The processes of other GPUs wait, and then read the cache.
    with cache.compiling(f"{bundle.fingerprint} {FOLDER}"):
        cached = read_tower(bundle.fingerprint)
        if cached is not None:
            return cached
        try:
            visual, config = tower_from_graph(bundle), bundle.architecture
        except ModelError as exc:
            loaded = load_source(bundle, exc, on_progress)
            visual, config = loaded.model.visual, loaded.config
        save_tower(visual, config, bundle.fingerprint)
    return visual


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
            f"cannot cache the image tower in {folder}: {exc}. Set ${cache.ENVIRONMENT} to a "
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
        manifest = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if manifest["fingerprint"] != mark or manifest["blake3"] != _digest(folder / WEIGHTS):
            return None
        visual = build_visual(manifest["model_cfg"])
        visual.load_state_dict(load_file(str(folder / WEIGHTS)), strict=True)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError):
        return None  # it is made again
    return visual


def load_source(
    bundle: Bundle, reason: ModelError, on_progress: Report = lambda line: None
) -> LoadedModel:
    """Load what a bundle was compiled from.

    Args:
        bundle: The compiled model.
        reason: Why the bundle's graphs cannot be used, for the error.
        on_progress: Called with a line of text on what is being done.

    Raises:
        ModelError: The source is gone, or has become another model.
    """
    record = cache.read_record(bundle.name)
    if record is None or bundle.name == BUILT_IN:
        raise ModelError(
            f"{bundle.name} has no weights for torch here ({reason}): use --device cpu"
        ) from reason
    from indexer.openclip.hub import Hub

    on_progress(f"loading the weights of {bundle.name} for torch, once")
    hub = Hub(on_progress=on_progress)
    try:
        loaded = load(parse(record.source, record.arch), hub=hub)
        mark = fingerprint_of(loaded)
    except ClipdexError as exc:
        raise ModelError(f"{bundle.name} cannot be loaded for torch: {exc}") from exc
    if mark != bundle.fingerprint:
        raise ModelError(
            f"{record.source} is not the model that was compiled here as {bundle.name}: "
            "compile it again (`clipdex models pull` or `add`), or use --device cpu"
        )
    hub.clean()
    return loaded


def fingerprint_of(loaded: LoadedModel) -> str:
    """Return the fingerprint of a model's bundle."""
    return fingerprint(loaded, convert_tokenizer(loaded.tokenizer, loaded.context_length).text)


def _digest(file: Path) -> str:
    hasher = blake3(max_threads=blake3.AUTO)
    hasher.update_mmap(file)
    return hasher.hexdigest()
