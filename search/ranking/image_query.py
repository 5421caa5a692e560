"""Images that come with a query rather than from the collection."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from indexer.encoder import Embeddings, Encoder
from indexer.errors import ImageError
from indexer.images.decode import Limits, decode, read_file
from indexer.images.preprocess import preprocess_of


def read_image(path: Path, limits: Limits) -> bytes:
    """The file's bytes; raises ImageError naming it."""
    try:
        return read_file(os.fsencode(path), limits)[1]
    except ImageError as exc:
        raise type(exc)(f"{path}: {exc}") from exc


def encode_image_files(
    encoder: Encoder, paths: Sequence[Path], limits: Limits | None = None
) -> Embeddings:
    """The vectors `(n, dim)` of these files; raises ImageError naming the first bad one."""
    bounds = limits or Limits()
    return np.concatenate(
        [encode_bytes(encoder, read_image(path, bounds), path, bounds) for path in paths]
    )


def encode_bytes(encoder: Encoder, data: bytes, name: Path, limits: Limits) -> Embeddings:
    """The vector `(1, dim)` of one image's bytes; raises ImageError naming it."""
    preprocess = preprocess_of(encoder)
    try:
        decoded = decode(data, limits, at_least=preprocess.size, name=os.fsencode(name))
    except ImageError as exc:
        raise type(exc)(f"{name}: {exc}") from exc
    return encoder.encode_images(preprocess.pixels(decoded.image)[np.newaxis])
