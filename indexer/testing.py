"""A fake encoder, for clipdex's own tests and for those of software that builds on it.

It needs no model and no weights: a vector is sampled with a seed that is the hash of an image's
pixels or of a text, so it is always the same. Each encoded image is logged, so that a test can
prove what was encoded, how often, and in which batches.
"""

import hashlib
import os
from pathlib import Path

import numpy as np

from indexer.arguments import several
from indexer.images.preprocess import Preprocess

from .encoder import Embeddings, Pixels, unit


class FakeEncoder:
    """A deterministic encoder without torch that logs what it encodes.

    Attributes:
        dim: Length of the vectors.
        fingerprint: Part of the seed, so that each fingerprint has its own vectors.
        image_size: (height, width) in pixels.
        log: A file that gets one line per image, the SHA-256 of its pixels. It is synced before
            the vector is returned, so that it survives `kill -9`.
        batches: How many images each call of `encode_images` got.
    """

    name = "fake"
    logit_scale = 100.0

    def __init__(
        self,
        *,
        dim: int = 32,
        image_size: int = 32,
        log: Path | None = None,
        fingerprint: str = "fake",
    ) -> None:
        self.dim = dim
        self.fingerprint = fingerprint
        self.image_size = (image_size, image_size)
        self.preprocess = Preprocess(self.image_size)
        self.log = log
        self.batches: list[int] = []

    def encode_images(self, pixels: Pixels) -> Embeddings:
        """Encode `(n, 3, h, w)` uint8 as `(n, dim)`; equal pixels have equal vectors."""
        keys = [hashlib.sha256(image.tobytes()).hexdigest() for image in pixels]
        if self.log is not None:
            with open(self.log, "ab", buffering=0) as file:
                file.write("".join(f"{key}\n" for key in keys).encode())
                os.fsync(file.fileno())
        self.batches.append(len(keys))
        return unit(np.stack([self._vector(key) for key in keys]))

    def encode_texts(self, texts: list[str]) -> Embeddings:
        """Encode n texts as `(n, dim)`; equal texts have equal vectors."""
        keys = [
            hashlib.sha256(text.encode("utf-8", "replace")).hexdigest() for text in several(texts)
        ]
        return unit(np.stack([self._vector(key) for key in keys]))

    def _vector(self, key: str) -> Embeddings:
        seed = int(hashlib.sha256((self.fingerprint + key).encode()).hexdigest()[:16], 16)
        return np.random.default_rng(seed).standard_normal(self.dim).astype(np.float32)
