"""A stand-in encoder for tests, ours and those of whoever builds on clipdex.

No model, no weights: a vector is drawn from the hash of an image's pixels or of a text, always
the same. Each image encoded is written down, so that a test can prove what was encoded, how
often, and in which batches.
"""

import hashlib
import os
from pathlib import Path

import numpy as np

from indexer.images.preprocess import Preprocess

from .encoder import Embeddings, Pixels, unit


class FakeEncoder:
    """Deterministic, torch-free, and a bookkeeper.

    log: a file that gets one line an image, the SHA-256 of its pixels, written through to the
    operating system before the vector is returned, so that it outlives `kill -9`.
    batches: how many images each call of `encode_images` got.
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
        """`(n, 3, h, w)` uint8 to `(n, dim)`: equal pixels and fingerprint, equal vectors."""
        keys = [hashlib.sha256(image.tobytes()).hexdigest() for image in pixels]
        if self.log is not None:
            with open(self.log, "ab", buffering=0) as file:
                file.write("".join(f"{key}\n" for key in keys).encode())
                os.fsync(file.fileno())
        self.batches.append(len(keys))
        return unit(np.stack([self._vector(key) for key in keys]))

    def encode_texts(self, texts: list[str]) -> Embeddings:
        """n texts to `(n, dim)`: equal texts, equal vectors."""
        keys = [hashlib.sha256(text.encode("utf-8", "replace")).hexdigest() for text in texts]
        return unit(np.stack([self._vector(key) for key in keys]))

    def _vector(self, key: str) -> Embeddings:
        seed = int(hashlib.sha256((self.fingerprint + key).encode()).hexdigest()[:16], 16)
        return np.random.default_rng(seed).standard_normal(self.dim).astype(np.float32)
