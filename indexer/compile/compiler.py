"""Compiles any open_clip model into a bundle, and compares that with open_clip first.

Both towers are exported, the tokenizer is converted, the bundle is written and loaded again as a
user would, and pixels, ids and vectors are compared with open_clip's own. This needs torch,
open_clip, onnx and onnxscript; the bundle needs none of them.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from indexer.bundles import cache
from indexer.bundles.bundle import Bundle, TextSettings
from indexer.bundles.checksums import digests
from indexer.bundles.recommended import licence_of
from indexer.devices import detect
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.hub import Hub
from indexer.model_name import BUILT_IN_FOLDER, ModelName
from indexer.openclip.image_tower_cache import save_tower
from indexer.openclip.loader import LoadedModel, fingerprint, load

from .caption_bank import write_bank
from .onnx_export import TextTower, can_cut, export_image, export_text, text_part
from .tokenizer_export import ConvertedTokenizer, convert_tokenizer
from .verify import verify

Report = Callable[[str], None]
"""Called with a line of text on what is being done."""


def compile_model(
    spec: str | ModelName | LoadedModel,
    folder: Path,
    *,
    name: str,
    licence: str = "unknown",
    half: bool = False,
    on_progress: Report = lambda line: None,
) -> Bundle:
    """Compile a model into a bundle at `folder`, replacing what is there.

    If compiling fails, nothing is left behind.

    Args:
        spec: A model name, parsed or not, or a loaded model.
        folder: Where the bundle goes.
        name: The model's name in the manifest.
        licence: Of the weights, in words.
        half: Store all weights in half precision, not only those that lose nothing by it.
        on_progress: Called with a line of text on what is being done.

    Raises:
        ModelNotFound: The name leads to no model.
        CompileError: The model cannot be exported, or its bundle differs from open_clip.
    """
    loaded = spec if isinstance(spec, LoadedModel) else load(spec)
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        bundle = _write(loaded, work, name, licence, half=half, on_progress=on_progress)
        on_progress("comparing with open_clip")
        verify(bundle, loaded)
        work.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Bundle.load(folder)


def compile_into_cache(
    model_name: ModelName, *, sha256: str | None = None, on_progress: Report = lambda line: None
) -> Bundle:
    """Compile a named model into the cache, under its fingerprint, and record the name.

    Args:
        model_name: The model.
        sha256: The checksum that weights from a hub must have.
        on_progress: Called with a line of text on what is being done.

    Raises:
        ModelNotFound: The name leads to no model.
        CompileError: The model cannot be exported, or its bundle differs from open_clip.
        DownloadError: The weights cannot be downloaded, or have another checksum.
    """
    stamp = cache.stamp(model_name)
    hub = Hub(sha256=sha256, on_progress=on_progress)
    loaded = load(model_name, hub=hub)
    tokenizer = convert_tokenizer(loaded.tokenizer, loaded.context_length)
    mark = fingerprint(loaded, tokenizer.text)
    with cache.compiling(mark):  # another name may lead to the same model
        bundle = cache.find_fingerprint(mark)
        if bundle is None:
            folder = cache.models_folder() / mark
            for left in folder.parent.glob(f".{mark}-*"):  # left by a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            bundle = compile_model(
                loaded,
                folder,
                name=model_name.name,
                licence=licence_of(model_name.name),
                on_progress=on_progress,
            )
    if detect.devices():  # a GPU runs the tower itself, not the graph, and its weights are here now
        save_tower(loaded.model.visual, loaded.config, mark)
    hub.clean()
    cache.write_record(cache.Record(model_name.name, mark, model_name.name, model_name.arch, stamp))
    return replace(bundle, name=model_name.name)


def _write(
    loaded: LoadedModel, folder: Path, name: str, licence: str, *, half: bool, on_progress: Report
) -> Bundle:
    """Export the towers, convert the tokenizer, and write the manifest."""
    model = loaded.model
    tokenizer = convert_tokenizer(loaded.tokenizer, loaded.context_length)
    (folder / tokenizer.file).write_text(tokenizer.text, encoding="utf-8")
    cut = may_cut(loaded, tokenizer)
    on_progress("exporting the image tower")
    export_image(model, loaded.preprocess, folder / "image.onnx", half=half)
    on_progress("exporting the text tower")
    ids = torch.as_tensor(loaded.tokenizer(["a photo", "a longer photo"]))
    export_text(model, ids, folder / "text.onnx", cut=cut, half=half)
    bias = getattr(model, "logit_bias", None)
    with torch.inference_mode():
        dim = TextTower(model)(ids).shape[1]
    bundle = Bundle(
        folder=folder,
        name=name,
        fingerprint=fingerprint(loaded, tokenizer.text),
        dim=dim,
        logit_scale=float(model.logit_scale.detach().exp()),
        logit_bias=None if bias is None else float(bias.detach()),
        image=loaded.preprocess,
        text=TextSettings.from_json({"cut": cut, **tokenizer.settings}),
        source=f"open_clip {loaded.source}",
        licence=licence,
        relevance=Bundle.load(BUILT_IN_FOLDER).relevance,
        architecture=loaded.config,
    )
    on_progress("encoding the caption bank")
    write_bank(OnnxEncoder(bundle, device="cpu", made_here=True), folder)
    bundle = replace(bundle, checksums=digests(bundle))
    bundle.save()
    return bundle


def may_cut(loaded: LoadedModel, tokenizer: ConvertedTokenizer) -> bool:
    """Return whether text may be cut to its length.

    The tower has to allow it (`can_cut`), and padding has to follow the text and must never be
    what the tower pools at.
    """
    tower = text_part(loaded.model)
    pool = getattr(tower, "text_pool_type", None) or getattr(tower, "pool_type", None)
    if not can_cut(tower) or tokenizer.settings.get("clips"):
        return False
    return tokenizer.kind == "bpe" or (pool == "eos" and loaded.pads_right)
