"""Vectors of scenes: shots of one place that are much more alike than those of others."""

import numpy as np

from indexer.encoder import Embeddings, unit


def bursts(
    classes: int, scenes: int, shots: int, *, own: float = 0.5, dim: int = 64, seed: int = 0
) -> tuple[Embeddings, np.ndarray, np.ndarray]:
    """Vectors, their classes and their true scenes.

    Two shots of a scene have a cosine of about 0.95, two scenes of a class one of `own ** 2`.
    """
    random = np.random.default_rng(seed)
    centres = unit(random.normal(size=(classes, dim)))
    targets = np.repeat(np.arange(classes), scenes * shots)
    true = np.repeat(np.arange(classes * scenes), shots)
    away = unit(random.normal(size=(classes * scenes, dim)))
    places = unit(own * np.repeat(centres, scenes, axis=0) + (1 - own**2) ** 0.5 * away)
    noise = unit(random.normal(size=(len(targets), dim)))
    vectors = unit(places[true] + 0.22 * noise).astype(np.float32)
    return vectors, targets, true


def names(count: int, folder: str = "/none") -> list[bytes]:
    """Paths that tell nothing: no file is there, and none follows another in a folder."""
    return [f"{folder}/{number}/image.jpg".encode() for number in range(count)]
