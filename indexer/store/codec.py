"""Vectors as a collection keeps them: in half precision, which moves a cosine by some 1e-4."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from indexer.encoder import Embeddings, unit

Ids = NDArray[np.int64]
"""`(n,)`: row ids of contents."""


Scores = NDArray[np.float32]
"""`(n,)`: cosines."""

Halves = NDArray[np.float16]
"""`(n, dim)`: unit vectors rounded to half precision, so of nearly unit length."""


def packed(vectors: Embeddings) -> list[bytes]:
    """Return what is stored of each of `vectors` `(n, dim)`."""
    return [vector.tobytes() for vector in vectors.astype("<f2")]


def halves_of(rows: Sequence[tuple[int, bytes]]) -> tuple[Ids, Halves]:
    """Return rows of `embeddings` (content, vector), at least one, as ids `(n,)` and vectors."""
    ids = np.array([row[0] for row in rows], dtype=np.int64)
    joined = np.frombuffer(b"".join(row[1] for row in rows), dtype="<f2")
    return ids, joined.reshape(len(rows), -1)


def unpacked(rows: Sequence[tuple[int, bytes]]) -> tuple[Ids, Embeddings]:
    """Return rows of `embeddings` (content, vector), at least one, as ids `(n,)` and `(n, dim)`."""
    ids, halves = halves_of(rows)
    return ids, unit(halves)
