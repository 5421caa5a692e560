"""What an export has to show before it is used, without torch: it may be any graph.

The photos are NASA's (an astronaut, galaxies, the moon, a rocket) and others' in the public domain
or under CC0, from scikit-image's samples, 224 pixels wide.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from indexer.bundles.bundle import Bundle
from indexer.bundles.samples import sample_images, sample_texts
from indexer.encoder import Embeddings, Pixels
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.errors import BundleError, ModelError
from indexer.json_files import Fields, read_json

from .onnx_tower import Tower
from .settings import Settings

PHOTOS = Path(__file__).parent / "photos"
# Of the 22 right answers (each photo's caption, each caption's photo), how many a model needs.
# Guessing finds 2, and 9 or more once in 600 times; pocket, which is small, finds 13.
MIN_RIGHT = 9
# How far a vector may move with its neighbors in a batch, or with the padding behind a text.
MAX_MOVE = 1e-3
MAX_CUT_MOVE = 1e-5
# OpenAI's weights as others exported them, with their own activation.
RIGHT_EXPORTS = {
    "ViT-B-32": "Qdrant/clip-ViT-B-32 or Xenova/clip-vit-base-patch32",
    "ViT-B-16": "Xenova/clip-vit-base-patch16",
    "ViT-L-14": "Xenova/clip-vit-large-patch14",
    "ViT-L-14-336": "Xenova/clip-vit-large-patch14-336",
}


@dataclass(frozen=True)
class Finding:
    """What was checked, in words, and whether it was good."""

    text: str
    good: bool = True


def activation(settings: Settings, towers: tuple[Tower, ...], name: str) -> Finding:
    """Check that the graphs have the activation that the weights were trained with.

    open_clip builds some architectures with GELU where OpenAI's weights need QuickGELU, and a model
    exported so finds less without any sign of it.
    """
    wanted = settings.activation
    found = {key: sum(one.activations[key] for one in towers) for key in ("quick_gelu", "gelu")}
    if wanted is not None and found[wanted]:
        return Finding(f"activation {wanted}, as its weights demand")
    # SiLU's sigmoids occur in other towers, so a sigmoid alone proves nothing against GELU.
    if wanted != "quick_gelu" or not found["gelu"]:
        return Finding("activation not known")
    architecture = name.rpartition("/")[2].partition("__")[0]
    instead = RIGHT_EXPORTS.get(architecture)
    return Finding(
        "the weights were trained with QuickGELU and the graphs have GELU, so it finds less than "
        "it should" + (f": pull {instead} instead" if instead else ""),
        good=False,
    )


def batches(encoder: OnnxEncoder) -> Finding:
    """Check that a vector does not depend on what else is in its batch.

    Raises:
        ModelError: It does, or the towers cannot run.
    """
    pixels = np.stack([encoder.preprocess.pixels(image) for image in sample_images(4)])
    order = np.array([2, 0, 3, 1])
    moved = np.abs(
        encoder.encode_images(pixels)[order] - encoder.encode_images(pixels[order])
    ).max()
    ids = encoder.tokenizer(sample_texts()[:4])
    swapped = encoder.encode_ids(ids)[order] - encoder.encode_ids(ids[order])
    moved = max(float(moved), float(np.abs(swapped).max()))
    if moved > MAX_MOVE:
        raise ModelError(
            f"{encoder.name}: the order of a batch moves its vectors by {moved:.2g}, so the graphs "
            "mix what should be apart: another export of the model may not"
        )
    return Finding("a batch's order does not matter")


def can_cut(encoder: OnnxEncoder) -> bool:
    """Return whether texts may be shorter than the context, which makes queries cheaper."""
    texts = sample_texts()[:16]
    whole = encoder.encode_ids(encoder.tokenizer(texts))
    try:
        for text, vector in zip(texts, whole, strict=True):
            short = encoder.encode_ids(encoder.tokenizer([text], cut=True))[0]
            if np.abs(short - vector).max() > MAX_CUT_MOVE:
                return False
    except ModelError:  # the graph takes one length, though it does not say so
        return False
    return True


def photos(encoder: OnnxEncoder) -> Finding:
    """Check that photos and captions find each other, better than by guessing."""
    pixels, captions = _photos(encoder)
    right = right_answers(encoder.encode_images(pixels), encoder.encode_texts(captions))
    of = 2 * len(captions)
    text = f"{right} of {of} photos and captions find each other"
    if right >= MIN_RIGHT:
        return Finding(text)
    return Finding(
        f"{text}, which is no better than guessing: its preprocessing or tokenizer may be another "
        "one, a tower may belong to another model, or its weights are random",
        good=False,
    )


def loss(encoder: OnnxEncoder, full: Bundle | None) -> Finding:
    """Say how far a smaller variant's vectors are from full precision's, where that is here."""
    if full is None:
        return Finding("not compared with full precision, which is not here")
    other = OnnxEncoder(full, device="cpu")
    pixels, texts = _photos(encoder)
    images = (encoder.encode_images(pixels) * other.encode_images(pixels)).sum(axis=1)
    words = (encoder.encode_texts(texts) * other.encode_texts(texts)).sum(axis=1)
    return Finding(
        f"cosine with full precision {np.median(images):.4f} on photos and {np.median(words):.4f} "
        f"on captions in the median, {min(images.min(), words.min()):.4f} at least"
    )


def _photos(encoder: OnnxEncoder) -> tuple[Pixels, list[str]]:
    """Return the photos as pixels, and the caption of each."""
    captions = Fields(read_json(PHOTOS / "captions.json"))
    pixels = []
    for file in captions:
        with Image.open(PHOTOS / file) as image:
            pixels.append(encoder.preprocess.pixels(image.convert("RGB")))
    return np.stack(pixels), [captions.text(file) for file in captions]


def right_answers(images: Embeddings, texts: Embeddings) -> int:
    """Return how many images find their text, and texts their image; means are taken off."""
    scores = images @ texts.T
    scores = scores - scores.mean(axis=0) - scores.mean(axis=1, keepdims=True)
    own = np.arange(len(images))
    return int((scores.argmax(axis=0) == own).sum() + (scores.argmax(axis=1) == own).sum())


def require_towers(encoder: OnnxEncoder) -> None:
    """Run each tower once, in a process of its own, and check that both give vectors of a length.

    Raises:
        BundleError: A tower does not run, or they do not belong together.
    """
    encoder.encode_images(encoder.preprocess.pixels(sample_images(1)[0])[np.newaxis])
    encoder.encode_ids(encoder.tokenizer(["a photo"]))
    image, text = encoder.bundle.image_graph, encoder.bundle.text_graph
    if image.file == text.file:
        raise BundleError(f"{encoder.name} has one graph for both towers")
