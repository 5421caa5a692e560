"""Vectors as a collection keeps them: in half precision, which moves a cosine by some 1e-4."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from indexer.encoder import Embeddings, unit
from indexer.errors import CollectionFormatError

Ids = NDArray[np.int64]
"""`(n,)`: row ids of contents."""


Seconds = NDArray[np.int64]
"""`(n,)`: since 1970 of the wall clock where a photo was taken, as if that were UTC."""


Scores = NDArray[np.float32]
"""`(n,)`: cosines."""

Halves = NDArray[np.float16]
"""`(n, dim)`: unit vectors rounded to half precision, so of nearly unit length."""


# By how much the squared length of what is kept may differ from 1: no rounding moves it so far.
NORM_TOLERANCE = 0.05


def damaged_row(what: str) -> CollectionFormatError:
    """Return the error of a row that clipdex did not write; `what` says how that shows."""
    return CollectionFormatError(
        f"the catalog is damaged or was not written by clipdex: {what}. Restore it from a backup, "
        "or index the photos into another folder with --collection"
    )


def packed(vectors: Embeddings | Halves) -> list[bytes]:
    """Return what is stored of each of `vectors` `(n, dim)`."""
    return [vector.tobytes() for vector in vectors.astype("<f2")]


def halves_of(rows: Sequence[tuple[int, bytes]], dim: int | None = None) -> tuple[Ids, Halves]:
    """Return rows of `embeddings` (content, vector), at least one, as ids `(n,)` and vectors.

    Args:
        rows: (content, vector).
        dim: How long they have to be; None where only that they are equally long is known.

    Raises:
        CollectionFormatError: A vector is not one of unit length, or not as long as the others.
    """
    ids = np.array([row[0] for row in rows], dtype=np.int64)
    lengths = {len(row[1]) for row in rows}
    wanted = {2 * dim} if dim else {length for length in lengths if length and length % 2 == 0}
    if len(lengths) > 1 or not lengths <= wanted:
        raise damaged_row(f"vectors have {', '.join(map(str, sorted(lengths)))} bytes")
    halves = np.frombuffer(b"".join(row[1] for row in rows), dtype="<f2").reshape(len(rows), -1)
    wide = halves.astype(np.float32)
    norms = np.einsum("nd,nd->n", wide, wide)
    wrong = np.flatnonzero(~(np.abs(norms - 1) < NORM_TOLERANCE))
    if wrong.size:
        raise damaged_row(f"the vector of image {ids[wrong[0]]} is not of unit length")
    return ids, halves


def unpacked(rows: Sequence[tuple[int, bytes]], dim: int | None = None) -> tuple[Ids, Embeddings]:
    """Return rows of `embeddings` (content, vector), at least one, as ids `(n,)` and `(n, dim)`."""
    ids, halves = halves_of(rows, dim)
    return ids, unit(halves)
