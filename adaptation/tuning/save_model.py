"""A tuned model as one of its own: compiled, cached and registered by its name."""

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from indexer.bundles import cache
from indexer.bundles.bundle import Bundle
from indexer.compile.derive import complete
from indexer.compile.onnx_export import export_image, export_text
from indexer.errors import ModelError
from indexer.model_name import BUILT_INS
from indexer.openclip.image_tower import build_visual
from indexer.openclip.image_tower_cache import save_tower
from indexer.tokenizers.load import load_tokenizer
from indexer.weights.image_tower import require_same_vectors
from indexer.weights.text_tower import require_same_texts

# How the cache's records mark a tuned model.
TUNED = "tuned:"


class Exportable(nn.Module):
    """The part of an open_clip model that the exporter uses."""

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual

    def encode_image(self, pixels: torch.Tensor, normalize: bool) -> torch.Tensor:
        """Return the unit vectors of `(n, 3, h, w)`."""
        return nn.functional.normalize(self.visual(pixels), dim=-1)


def require_free(name: str) -> None:
    """Raise ModelError if a model that was not tuned has this name."""
    known = cache.read_record(name)
    if name in BUILT_INS or (known is not None and not known.source.startswith(TUNED)):
        raise ModelError(f"{name} is the name of another model: choose a name of your own")


def keep_tuned(
    base: Bundle,
    visual: nn.Module | None,
    name: str,
    metadata: dict[str, Any],
    text: Any = None,
) -> Bundle:
    """Compile the base model with another image tower, text tower or both, and register it.

    A tower with parts that open_clip's does not have is not cached for GPUs.

    Args:
        base: The model whose other tower and settings are used.
        visual: The image tower; None for the base's.
        name: What the model is called.
        metadata: How it was made; goes into the manifest beside the base.
        text: open_clip's model with the text tower; None for the base's.

    Raises:
        CompileError: It cannot be exported.
        ModelError: The bundle's vectors differ from the towers'.
    """
    models = cache.models_folder()
    models.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".tuned-", dir=models))
    try:
        if visual is not None:
            export_image(Exportable(visual), base.image, work / "image.onnx")
        if text is not None:
            export_text_of(base, text, work)
        made = complete(
            base,
            work,
            name,
            source=f"{base.source}, tuned by clipdex",
            tuned={"base": base.fingerprint, "base_name": base.name, **metadata},
        )
        if visual is not None:
            require_same_vectors(visual, made)
        if text is not None:
            require_same_texts(text, made)
        made.save()
        work.chmod(0o755)
        folder = models / made.fingerprint
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if visual is not None and (
        visual.state_dict().keys() == build_visual(base.architecture).state_dict().keys()
    ):
        save_tower(visual, base.architecture, made.fingerprint)
    cache.write_record(cache.Record(name, made.fingerprint, f"{TUNED}{base.name}", None, []))
    return replace(made, folder=folder)


def export_text_of(base: Bundle, model: Any, folder: Path) -> None:
    """Write the text graph of open_clip's model into a folder, in the form of the base's.

    Raises:
        CompileError: It cannot be exported.
    """
    ids = load_tokenizer(base)(["a photo", "a longer photo"])
    export_text(model, torch.from_numpy(ids), folder / base.text_graph.file, cut=base.text.cut)
