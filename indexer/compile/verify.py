"""Compares a bundle with open_clip: pixels, token ids and vectors."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from indexer.bundles.bundle import Bundle
from indexer.bundles.samples import sample_images, sample_texts
from indexer.encoder import Embeddings
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.errors import CompileError
from indexer.tokenizers.bpe import TokenIds

if TYPE_CHECKING:  # imports torch, which this module does not need
    from indexer.openclip.loader import LoadedModel

# The minimum cosine of each vector with open_clip's, and the maximum change of a vector's component
# by cutting a text to its length.
MIN_COSINE = 0.9999
MAX_CUT_DIFFERENCE = 1e-5
CUT_LENGTHS = (5, 9, 17, 33)


@dataclass(frozen=True)
class Verification:
    """How close a bundle is to open_clip.

    Attributes:
        image_cosine: Minimum cosine of the vectors of images.
        text_cosine: Minimum cosine of the vectors of texts.
        cut_difference: Maximum change of a component by cutting texts to their length; 0 if the
            tower does not allow that.
    """

    image_cosine: float
    text_cosine: float
    cut_difference: float


def verify(bundle: Bundle, loaded: "LoadedModel") -> Verification:
    """Compare a bundle with open_clip on 16 images and 64 texts.

    Raises:
        CompileError: They differ by more than the limits of this module.
    """
    encoder = OnnxEncoder(bundle, device="cpu", made_here=True)
    images, texts = sample_images(), sample_texts()
    require_pixels(encoder, loaded, images)
    if loaded.random_reduction:  # open_clip drops random tokens of long texts
        texts = [text for text in texts if _fits(encoder, text)]
    require_ids(encoder, loaded, texts)
    result = Verification(
        image_cosine(encoder, loaded, images),
        text_cosine(encoder, loaded, encoder.tokenizer(texts)),
        cut_difference(encoder, texts) if bundle.text.cut else 0.0,
    )
    if min(result.image_cosine, result.text_cosine) < MIN_COSINE:
        raise CompileError(
            f"{bundle.name}: the compiled model differs from open_clip (cosine "
            f"{result.image_cosine:.6f} on images, {result.text_cosine:.6f} on texts, minimum "
            f"{MIN_COSINE})"
        )
    if result.cut_difference > MAX_CUT_DIFFERENCE:
        raise CompileError(
            f"{bundle.name}: cutting text to its length moves its vector by "
            f"{result.cut_difference:.2g}"
        )
    return result


def require_pixels(encoder: OnnxEncoder, loaded: "LoadedModel", images: list[Image.Image]) -> None:
    """Check that images become open_clip's pixels, within 1e-6 after normalization.

    Raises:
        CompileError: The pixels differ.
    """
    settings = encoder.preprocess
    mean, std = (np.array(v, np.float32).reshape(3, 1, 1) for v in (settings.mean, settings.std))
    for image in images:
        ours = (settings.pixels(image).astype(np.float32) / 255.0 - mean) / std
        theirs = loaded.transform(image).numpy()
        if ours.shape != theirs.shape or np.abs(ours - theirs).max() > 1e-6:
            raise CompileError(
                f"{encoder.name}: pixels differ from open_clip's for an image of {image.size}"
            )


def require_ids(encoder: OnnxEncoder, loaded: "LoadedModel", texts: list[str]) -> None:
    """Check that texts become open_clip's ids.

    Raises:
        CompileError: The ids differ.
    """
    if not np.array_equal(encoder.tokenizer(texts), np.asarray(loaded.tokenizer(texts))):
        raise CompileError(f"{encoder.name}: the compiled tokenizer gives other ids than open_clip")


def image_cosine(encoder: OnnxEncoder, loaded: "LoadedModel", images: list[Image.Image]) -> float:
    """Return the minimum cosine of the bundle's and open_clip's vectors of images."""
    pixels = np.stack([encoder.preprocess.pixels(image) for image in images])
    parts = [encoder.encode_images(pixels[at : at + 4]) for at in range(0, len(pixels), 4)]
    return min_cosine(np.concatenate(parts), loaded.encode_images(images))


def text_cosine(encoder: OnnxEncoder, loaded: "LoadedModel", ids: TokenIds) -> float:
    """Return the minimum cosine of both vectors of ids `(n, context_length)`."""
    parts = [encoder.encode_ids(ids[at : at + 16]) for at in range(0, len(ids), 16)]
    return min_cosine(np.concatenate(parts), loaded.encode_ids(ids))


def min_cosine(ours: Embeddings, theirs: Embeddings) -> float:
    """Return the minimum cosine of rows of unit length; below -1 if one is not finite."""
    return float(np.nan_to_num((ours * theirs).sum(axis=1), nan=-2.0).min())


def cut_difference(encoder: OnnxEncoder, texts: list[str]) -> float:
    """Return the maximum change of a component by cutting a text, at several lengths."""
    whole = encoder.encode_ids(encoder.tokenizer(texts))
    most = encoder.bundle.text.context_length
    worst = 0.0
    for text, full in zip(texts, whole, strict=True):
        ids = encoder.tokenizer([text], cut=True)
        for length in {ids.shape[1], *(n for n in CUT_LENGTHS if ids.shape[1] < n < most)}:
            padded = np.full((1, length), encoder.bundle.text.pad, dtype=np.int64)
            padded[:, : ids.shape[1]] = ids
            worst = max(worst, float(np.abs(encoder.encode_ids(padded)[0] - full).max()))
    return worst


def _fits(encoder: OnnxEncoder, text: str) -> bool:
    tokenizer: Any = encoder.tokenizer
    return len(tokenizer.encode(text)) + 2 <= encoder.bundle.text.context_length
