"""Images that come with a query rather than from the collection."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from indexer.arguments import several
from indexer.encoder import Embeddings, Encoder, name_of, require_unit
from indexer.errors import ImageError
from indexer.images.decode import Limits, prepare
from indexer.images.preprocess import preprocess_of
from indexer.sources.reading import read_location

# What errors call an image that came without a file.
NAMELESS = "the image"
WEB = ("http://", "https://")


class NamedImage(bytes):
    """The bytes of an image, and what errors call it."""

    name: str

    def __new__(cls, data: bytes, name: str) -> Self:
        """Return the bytes with the name."""
        named = super().__new__(cls, data)
        named.name = name
        return named


def named_image(path: Path | str, limits: Limits) -> NamedImage:
    """Return the bytes of a file, or of what a URL names, with that name; see `read_image`."""
    return NamedImage(read_image(path, limits), _shown(path))


def read_image(path: Path | str, limits: Limits) -> bytes:
    """Return the bytes of a file, or of what a URL names.

    Raises:
        ImageError: It cannot be read, or is larger than the limits; the message names it.
    """
    try:
        if str(path).lower().startswith(WEB):
            from .web_image import fetch_image  # few queries name one

            return fetch_image(str(path), limits)
        return read_location(os.fsencode(path), limits)
    except ImageError as exc:
        raise type(exc)(f"{_shown(path)}: {exc}") from exc
    except ValueError as exc:  # not a path, such as one with a NUL
        raise ImageError(f"{str(path)!r} cannot be read: {exc}") from exc


def encode_image_files(
    encoder: Encoder, files: Sequence[Path | str | bytes], limits: Limits | None = None
) -> Embeddings:
    """Encode image files, named by their paths or URLs or given as bytes.

    Returns:
        The vectors `(n, dim)`.

    Raises:
        ImageError: A file cannot be read; the message names the first such file.
    """
    limits = limits or Limits()
    vectors = []
    for file in several(files):
        data = file if isinstance(file, bytes) else named_image(file, limits)
        vectors.append(encode_bytes(encoder, data, limits))
    return np.concatenate(vectors)


def encode_bytes(encoder: Encoder, data: bytes, limits: Limits) -> Embeddings:
    """Encode the bytes of one image file.

    Returns:
        The vector `(1, dim)`.

    Raises:
        ImageError: The bytes cannot be decoded; the message starts with their name.
        VectorsError: What the encoder gives is not a unit vector.
    """
    preprocess = preprocess_of(encoder)
    name = data.name if isinstance(data, NamedImage) else NAMELESS
    try:
        found = prepare(data, limits, preprocess, name=os.fsencode(name))
    except ImageError as exc:
        raise type(exc)(f"{name}: {exc}") from exc
    vectors = encoder.encode_images(found.pixels[np.newaxis])
    return require_unit(vectors, 1, encoder.dim, name_of(encoder))


def _shown(path: Path | str) -> str:
    if not str(path).lower().startswith(WEB):
        return str(path)
    from .web_image import shown

    return shown(str(path))
