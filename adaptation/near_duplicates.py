"""Near-duplicates among examples: vectors propose pairs, the pictures laid over each other decide.

As `clipdex duplicates` tells them (`search.alignment`), for pictures that need not be indexed.
"""

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from indexer.decode import Limits, decode, read_file
from indexer.encoder import Embeddings
from indexer.errors import ImageError
from indexer.sketch import SIDE, sketch
from search.alignment import correlations
from search.sketchbook import THRESHOLD

# Copies that were resized, recompressed or cropped a little have vectors closer than this.
LEAST_COSINE = 0.9
BLOCK = 1024
# Pictures are decoded to no more than this many times a sketch's side.
DECODED = 8

Pair = tuple[int, int]


def near_duplicates(
    vectors: Embeddings, paths: Sequence[bytes], limits: Limits | None = None
) -> list[Pair]:
    """Pairs (left < right) of rows that show one picture. vectors: `(n, dim)`."""
    pairs = _proposed(vectors)
    sketches = _sketches({row for pair in pairs for row in pair}, paths, limits or Limits())
    pairs = [pair for pair in pairs if pair[0] in sketches and pair[1] in sketches]
    if not pairs:
        return []
    sides = [np.stack([sketches[pair[side]] for pair in pairs]) for side in (1, 0)]
    alike = np.maximum(correlations(*sides), correlations(*reversed(sides))) >= THRESHOLD
    return [pair for pair, same in zip(pairs, alike.tolist(), strict=True) if same]


def _proposed(vectors: Embeddings) -> list[Pair]:
    pairs: list[Pair] = []
    for start in range(0, len(vectors), BLOCK):
        close = vectors[start : start + BLOCK] @ vectors.T >= LEAST_COSINE
        left, right = np.nonzero(close)
        left = left + start
        kept = left < right
        pairs += zip(left[kept].tolist(), right[kept].tolist(), strict=True)
    return pairs


def _sketches(
    rows: set[int], paths: Sequence[bytes], limits: Limits
) -> dict[int, NDArray[np.uint8]]:
    found: dict[int, NDArray[np.uint8]] = {}
    for row in sorted(rows):
        with suppress(ImageError):  # it vanished since it was encoded
            data = read_file(paths[row], limits)[1]
            size = (DECODED * SIDE, DECODED * SIDE)
            image = decode(data, limits, at_least=size, name=paths[row]).image
            found[row] = np.frombuffer(sketch(image), np.uint8).reshape(SIDE, SIDE)
    return found
