"""Near-duplicates among examples: vectors propose pairs, and aligned images decide.

The decision is that of `clipdex duplicates`, for images that need not be indexed.
"""

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from indexer.encoder import Embeddings
from indexer.errors import ImageError
from indexer.images.decode import Limits, decode
from indexer.images.gray_thumbnail import gray_thumbnail
from indexer.sources.reading import read_location
from indexer.store.tables.contents import THUMBNAIL_SIDE
from search.duplicates.pair_similarity import THRESHOLD, correlations

# Copies that were resized, recompressed or cropped a little have a cosine above this and are among
# this many nearest.
MIN_COSINE = 0.8
NEAREST = 5
BLOCK = 1024
# Images are decoded to at most this many times a gray thumbnail's side.
DECODED = 8

Pair = tuple[int, int]


def near_duplicates(
    vectors: Embeddings, paths: Sequence[bytes], limits: Limits | None = None
) -> list[Pair]:
    """Find the pairs of rows that show the same image.

    Args:
        vectors: `(n, dim)`, of unit length.
        paths: Of the images; those that cannot be read are in no pair.
        limits: The largest file and image that are read.

    Returns:
        (left, right) rows with left < right.
    """
    pairs = _proposed(vectors)
    thumbnails = _thumbnails({row for pair in pairs for row in pair}, paths, limits or Limits())
    pairs = [pair for pair in pairs if pair[0] in thumbnails and pair[1] in thumbnails]
    if not pairs:
        return []
    sides = [np.stack([thumbnails[pair[side]] for pair in pairs]) for side in (1, 0)]
    alike = np.maximum(correlations(*sides), correlations(*reversed(sides))) >= THRESHOLD
    return [pair for pair, same in zip(pairs, alike.tolist(), strict=True) if same]


def _proposed(vectors: Embeddings) -> list[Pair]:
    pairs: set[Pair] = set()
    for start in range(0, len(vectors), BLOCK):
        cosines = vectors[start : start + BLOCK] @ vectors.T
        rows = np.arange(len(cosines))
        cosines[rows, start + rows] = -1
        count = min(NEAREST, len(vectors) - 1)
        for column in np.argpartition(-cosines, count - 1, axis=1)[:, :count].T:
            close = cosines[rows, column] >= MIN_COSINE
            ends = np.sort(np.stack([start + rows[close], column[close]]), axis=0)
            pairs.update(zip(*ends.tolist(), strict=True))
    return sorted(pairs)


def _thumbnails(
    rows: set[int], paths: Sequence[bytes], limits: Limits
) -> dict[int, NDArray[np.uint8]]:
    found: dict[int, NDArray[np.uint8]] = {}
    for row in sorted(rows):
        with suppress(ImageError):  # it was removed since it was encoded
            data = read_location(paths[row], limits)
            size = (DECODED * THUMBNAIL_SIDE, DECODED * THUMBNAIL_SIDE)
            image = decode(data, limits, at_least=size, name=paths[row]).image
            found[row] = np.frombuffer(gray_thumbnail(image), np.uint8).reshape(
                THUMBNAIL_SIDE, THUMBNAIL_SIDE
            )
    return found
