"""Any open_clip model to a bundle, checked against open_clip before anyone uses it.

Exports the two towers, converts the tokenizer, writes the folder, loads it again as a user would,
and compares pixels, ids and vectors with open_clip's own. Needs torch, open_clip, onnx and
onnxscript; what it makes needs none of them.
"""

import logging
import os
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from open_clip.transformer import text_global_pool
from torch import nn
from torch.nn import functional

from . import graphs
from .bundle import Bundle, TextSettings
from .errors import CompileError
from .onnx_encoder import OnnxEncoder
from .openclip import LoadedModel, convert_tokenizer, fingerprint, load
from .preprocess import Preprocess
from .samples import sample_images, sample_texts

OPSET = 20
# What a bundle must reach: cosine of each vector with open_clip's, and how far cutting text to
# its length may move a vector.
LEAST_COSINE = 0.9999
MOST_CUT_DIFFERENCE = 1e-5
CUT_LENGTHS = (5, 9, 17, 33)


@dataclass(frozen=True)
class Verification:
    """How close a bundle is to open_clip: the least cosine of images and of texts, and the
    largest difference that cutting made (0 where the tower is not cut).
    """

    image_cosine: float
    text_cosine: float
    cut_difference: float


class ImageTower(nn.Module):
    """uint8 pixels to unit vectors: normalisation and tower in one graph."""

    def __init__(self, model: Any, preprocess: Preprocess) -> None:
        super().__init__()
        self.model = model
        self.pixel_mean = nn.Buffer(torch.tensor(preprocess.mean).view(1, 3, 1, 1))
        self.pixel_std = nn.Buffer(torch.tensor(preprocess.std).view(1, 3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """`(n, 3, h, w)` uint8 to `(n, dim)`."""
        scaled = (pixels.to(torch.float32) / 255.0 - self.pixel_mean) / self.pixel_std
        vectors: torch.Tensor = self.model.encode_image(scaled, normalize=True)
        return vectors


class TextTower(nn.Module):
    """Ids of the model's full context length to unit vectors."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """`(n, context_length)` to `(n, dim)`."""
        vectors: torch.Tensor = self.model.encode_text(ids, normalize=True)
        return vectors


class CutTextTower(nn.Module):
    """Ids of any length to unit vectors, for causal towers that pool at the end token.

    A causal position sees only what stands before it, so whatever follows the end token can be
    left out; mask and positions are sliced to the length.
    Source: open_clip `model.py` (`CLIP.encode_text`), `transformer.py` (`TextTransformer.forward`).
    """

    def __init__(self, tower: Any) -> None:
        super().__init__()
        self.tower = tower
        self.pool = getattr(tower, "text_pool_type", None) or tower.pool_type
        self.eos_id = getattr(tower, "text_eos_id", None) or getattr(tower, "eos_id", None)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """`(n, length)` to `(n, dim)`."""
        length = ids.shape[1]
        x = self.tower.token_embedding(ids) + self.tower.positional_embedding[:length]
        x = self.tower.transformer(x, attn_mask=self.tower.attn_mask[:length, :length])
        x = text_global_pool(self.tower.ln_final(x), ids, self.pool, eos_token_id=self.eos_id)
        projection = self.tower.text_projection
        if isinstance(projection, nn.Linear):
            x = projection(x)
        elif projection is not None:
            x = x @ projection
        return functional.normalize(x, dim=-1)


def compile_model(
    spec: str, folder: Path, *, name: str, licence: str = "unknown", half: bool = False
) -> Bundle:
    """Compile `spec` (see `openclip.load`) into a bundle at `folder`, replacing what is there.

    half: store all weights in half precision, not only those that lose nothing by it.

    Raises ModelNotFound, or CompileError where the model cannot be exported or its bundle differs
    from open_clip; then nothing is left behind.
    """
    loaded = load(spec)
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        bundle = _export(loaded, work, name, licence, half=half)
        verify(bundle, loaded)
        work.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Bundle.load(folder)


def _export(loaded: LoadedModel, folder: Path, name: str, licence: str, *, half: bool) -> Bundle:
    model = loaded.model
    context_length = int(getattr(model, "context_length", loaded.tokenizer.context_length))
    tokenizer_file, settings = convert_tokenizer(loaded.tokenizer, context_length)
    (folder / "tokenizer.txt").write_text(tokenizer_file, encoding="utf-8")
    tower = getattr(model, "text", model)
    cut = can_cut(tower)
    height, width = loaded.preprocess.size
    batch = torch.export.Dim("batch", min=1)
    _export_tower(
        ImageTower(model, loaded.preprocess),
        torch.zeros(2, 3, height, width, dtype=torch.uint8),
        {0: batch},
        folder / "image.onnx",
        name="pixels",
        half=half,
    )
    ids = torch.as_tensor(loaded.tokenizer(["a photo", "a longer photo"]))
    length = torch.export.Dim("length", min=2, max=context_length)
    _export_tower(
        CutTextTower(tower) if cut else TextTower(model),
        ids[:, :7] if cut else ids,
        {0: batch, 1: length} if cut else {0: batch},
        folder / "text.onnx",
        name="ids",
        half=half,
    )
    bias = getattr(model, "logit_bias", None)
    with torch.inference_mode():
        dim = TextTower(model)(ids).shape[1]
    bundle = Bundle(
        folder=folder,
        name=name,
        fingerprint=fingerprint(loaded, tokenizer_file),
        dim=dim,
        logit_scale=float(model.logit_scale.detach().exp()),
        logit_bias=None if bias is None else float(bias.detach()),
        image=loaded.preprocess,
        text=TextSettings(cut=cut, **settings),
        source=f"open_clip {Path(loaded.spec).name}",
        licence=licence,
    )
    bundle.save()
    return bundle


def can_cut(tower: Any) -> bool:
    """Whether ids behind the end token cannot matter: causal mask, no class embedding appended,
    pooling at the end token.
    """
    pool = getattr(tower, "text_pool_type", None) or getattr(tower, "pool_type", None)
    return (
        getattr(tower, "attn_mask", None) is not None
        and getattr(tower, "cls_emb", None) is None
        and pool in ("argmax", "eos")
        and all(hasattr(tower, part) for part in ("token_embedding", "transformer", "ln_final"))
    )


def _export_tower(
    tower: nn.Module,
    example: torch.Tensor,
    dynamic: dict[int, Any],
    path: Path,
    *,
    name: str,
    half: bool,
) -> None:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                tower.eval(),
                (example.clone(),),
                input_names=[name],
                output_names=["vectors"],
                dynamic_shapes=(dynamic,),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except Exception as exc:  # the exporter raises many kinds
        raise CompileError(f"torch cannot export {type(tower).__name__}: {exc}") from exc
    assert program is not None
    proto: onnx.ModelProto = program.model_proto
    graphs.store_half(proto, lossy=half)
    graphs.write(proto, path)


def verify(bundle: Bundle, loaded: LoadedModel) -> Verification:
    """Compare a bundle with open_clip on 16 pictures and 64 texts; raises CompileError if they
    differ by more than this module's limits.
    """
    encoder = OnnxEncoder(bundle, device="cpu")
    images, texts = sample_images(), sample_texts()
    _verify_pixels(encoder, loaded, images)
    ids = np.asarray(loaded.tokenizer(texts))
    if not np.array_equal(encoder.tokenizer(texts), ids):
        raise CompileError(f"{bundle.name}: the compiled tokenizer gives other ids than open_clip")
    pixels = np.stack([bundle.image.pixels(image) for image in images])
    result = Verification(
        _least_cosine(encoder.encode_images(pixels), loaded.encode_images(images)),
        _least_cosine(encoder.encode_texts(texts), loaded.encode_texts(texts)),
        _cut_difference(encoder, texts) if bundle.text.cut else 0.0,
    )
    if min(result.image_cosine, result.text_cosine) < LEAST_COSINE:
        raise CompileError(
            f"{bundle.name}: the compiled model differs from open_clip (cosine "
            f"{result.image_cosine:.6f} on pictures, {result.text_cosine:.6f} on texts, wanted "
            f"{LEAST_COSINE})"
        )
    if result.cut_difference > MOST_CUT_DIFFERENCE:
        raise CompileError(
            f"{bundle.name}: cutting text to its length moves its vector by "
            f"{result.cut_difference:.2g}"
        )
    return result


def _verify_pixels(encoder: OnnxEncoder, loaded: LoadedModel, images: list[Any]) -> None:
    settings = encoder.preprocess
    mean, std = (np.array(v, np.float32).reshape(3, 1, 1) for v in (settings.mean, settings.std))
    for image in images:
        ours = (settings.pixels(image).astype(np.float32) / 255.0 - mean) / std
        theirs = loaded.transform(image).numpy()
        if ours.shape != theirs.shape or np.abs(ours - theirs).max() > 1e-6:
            raise CompileError(
                f"{encoder.name}: pixels differ from open_clip's for a picture of {image.size}"
            )


def _least_cosine(ours: Any, theirs: Any) -> float:
    return float((ours * theirs).sum(axis=1).min())


def _cut_difference(encoder: OnnxEncoder, texts: list[str]) -> float:
    """The largest change of a component between a text cut at several lengths and uncut."""
    whole = encoder.encode_ids(encoder.tokenizer(texts))
    worst = 0.0
    for text, full in zip(texts, whole, strict=True):
        ids = encoder.tokenizer([text], cut=True)
        for length in {ids.shape[1], *(n for n in CUT_LENGTHS if n > ids.shape[1])}:
            padded = np.full((1, length), encoder.bundle.text.pad, dtype=np.int64)
            padded[:, : ids.shape[1]] = ids
            worst = max(worst, float(np.abs(encoder.encode_ids(padded)[0] - full).max()))
    return worst
