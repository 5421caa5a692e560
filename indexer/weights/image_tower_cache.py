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
    """A model's image tower on the CPU, in float32: kept before, or taken from the bundle's graph
    or the bundle's own source (downloaded again if need be), and then kept.

    Raises ModelError where it is nowhere to be had.
    """
    with cache.compiling(f"{bundle.fingerprint} {FOLDER}"):  # other GPUs' processes wait, and read
        kept = read_tower(bundle.fingerprint)
        if kept is not None:
            return kept
        try:
            visual, config = tower_from_graph(bundle), bundle.architecture
        except ModelError as exc:
            loaded = load_source(bundle, exc, on_progress)
            visual, config = loaded.model.visual, loaded.config
        keep_tower(visual, config, bundle.fingerprint)
    return visual


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


def load_source(
    bundle: Bundle, reason: ModelError, on_progress: Report = lambda line: None
) -> LoadedModel:
    """What the bundle was compiled from.

    reason: why the bundle's graphs do not do. Raises ModelError where it is gone, or another.
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
            f"{record.source} is another model than the one compiled here as {bundle.name}: "
            "compile it again (`clipdex models pull` or `add`), or use --device cpu"
        )
    hub.clean()
    return loaded


def fingerprint_of(loaded: LoadedModel) -> str:
    """The fingerprint that a model's bundle has."""
    return fingerprint(loaded, convert_tokenizer(loaded.tokenizer, loaded.context_length).text)


def _digest(file: Path) -> str:
    hasher = blake3(max_threads=blake3.AUTO)
    hasher.update_mmap(file)
    return hasher.hexdigest()
