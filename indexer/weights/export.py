"""Writes a compiled model in open_clip's layout, for other programs that use open_clip.

DIR/open_clip_config.json          architecture (`model_cfg`) and preprocessing (`preprocess_cfg`)
DIR/open_clip_model.safetensors    both towers' weights, by open_clip's names
DIR/tokenizer.json, tokenizer_config.json    of models whose tokenizer is not CLIP's own
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from indexer.bundles.bundle import Bundle
from indexer.bundles.samples import sample_images, sample_texts
from indexer.compile.verify import image_cosine, require_ids, require_pixels, text_cosine
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.errors import ModelError
from indexer.model_name import CONFIG
from indexer.openclip.loader import load
from indexer.openclip.sources import TOKENIZER_FILES, WEIGHTS

from .full_model import obtain_model, preprocess_settings
from .target import require_target

MIN_COSINE = 0.9999
# Half precision loses a little.
MIN_HALF_COSINE = 0.999

Report = Callable[[str], None]


def export(
    bundle: Bundle,
    folder: Path,
    *,
    half: bool = False,
    on_progress: Report = lambda line: None,
) -> float:
    """Write a model in the layout of open_clip's `local-dir:`.

    It is written beside the folder and renamed into place; if that fails, nothing is left behind.

    Args:
        bundle: The model.
        folder: A new or empty folder.
        half: Store the weights in float16.
        on_progress: Called with a line of text on what is being done.

    Returns:
        The minimum cosine of its vectors and the bundle's, of 16 images and 64 texts.

    Raises:
        ModelError: The folder is not empty or cannot be written, or the whole model cannot be
            obtained (`obtain_model`).
    """
    bundle.require_compiled("writing a model in open_clip's layout")
    folder = require_target(folder)
    model = obtain_model(bundle, on_progress)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            _write(bundle, model, work, half=half)
            on_progress("comparing with the compiled model")
            cosine = _compare(bundle, work, MIN_HALF_COSINE if half else MIN_COSINE)
            work.chmod(0o755)
            if folder.exists():
                folder.rmdir()
            os.replace(work, folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except (OSError, SafetensorError) as exc:
        raise ModelError(f"cannot write {bundle.name} to {folder}: {exc}") from exc
    return cosine


def _write(bundle: Bundle, model: Any, folder: Path, *, half: bool) -> None:
    weights = {
        # Cloned, since safetensors refuses tensors that share their memory.
        name: one.detach().to(torch.float16 if half and one.is_floating_point() else one.dtype)
        .contiguous().clone()
        for name, one in model.state_dict().items()
    }  # fmt: skip
    save_file(weights, str(folder / WEIGHTS[0]), metadata={"format": "pt"})
    config = {
        "model_cfg": bundle.architecture,
        "preprocess_cfg": preprocess_settings(bundle.image),
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    # safetensors makes it unreadable for other users.
    (folder / WEIGHTS[0]).chmod((folder / CONFIG).stat().st_mode)
    if bundle.text.kind == "huggingface":
        shutil.copyfile(bundle.folder / bundle.text.file, folder / TOKENIZER_FILES[0])
        settings = json.dumps(_tokenizer_settings(bundle), indent=1, ensure_ascii=False)
        (folder / TOKENIZER_FILES[1]).write_text(settings + "\n", encoding="utf-8")


def _tokenizer_settings(bundle: Bundle) -> dict[str, Any]:
    """Return what transformers needs to know beside a tokenizer's own file."""
    from tokenizers import Tokenizer

    text = bundle.text
    tokenizer = Tokenizer.from_file(str(bundle.folder / text.file))
    ids = {"pad_token": text.pad, "sep_token": text.blank}
    if text.clips is not None:
        start, end, pad, own = text.clips
        ids |= {"bos_token": start, "eos_token": end, "pad_token": pad, "cls_token": own}
    padding: dict[str, Any] = tokenizer.padding or {}
    truncation: dict[str, Any] = tokenizer.truncation or {}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": text.context_length,
        "padding_side": padding.get("direction", "right"),
        "truncation_side": truncation.get("direction", "right"),
        **{key: tokenizer.id_to_token(one) for key, one in ids.items() if one is not None},
    }


def _compare(bundle: Bundle, folder: Path, minimum: float) -> float:
    """Return the minimum cosine of the exported model's vectors and the bundle's.

    Raises:
        ModelError: The cosine is below `minimum`, or open_clip makes other pixels or ids.
    """
    loaded = load(f"local-dir:{folder}")
    encoder = OnnxEncoder(bundle, device="cpu")
    images, texts = sample_images(), sample_texts()
    require_pixels(encoder, loaded, images)
    require_ids(encoder, loaded, texts)
    cosine = min(
        image_cosine(encoder, loaded, images),
        text_cosine(encoder, loaded, encoder.tokenizer(texts)),
    )
    if not cosine >= minimum:
        raise ModelError(
            f"{bundle.name} as open_clip would load it differs from its bundle (cosine "
            f"{cosine:.6f}, minimum {minimum})"
        )
    return cosine
