"""The eight ways in which an image can be turned by quarters and mirrored.

Outlines (see `thumbnails`) are turned by reordering their values. What outlines have in common in
all orientations makes their signature: mirroring an image changes only signs of its cosine
transform, and transposing it exchanges the two directions, so the signature keeps each pair's sum
and difference of magnitudes.
"""

import numpy as np
from numpy.typing import NDArray

from indexer.encoder import Embeddings, unit

COUNT = 8


def oriented(images: NDArray[np.uint8], orientations: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Return images `(n, side, side)`, each in its orientation `(n,)` of 0 to 7; 0 is upright."""
    result = np.empty_like(images)
    for number in range(COUNT):
        chosen = orientations == number
        result[chosen] = _turned(images[chosen], number)
    return result


def is_transposed(orientations: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return whether rows become columns in each orientation."""
    return orientations >= COUNT // 2


def oriented_outlines(outlines: Embeddings) -> NDArray[np.float32]:
    """Return outlines `(n, side * side)` in all orientations, `(n, 8, side * side)`."""
    side = round(outlines.shape[1] ** 0.5)
    places = np.arange(side * side).reshape(1, side, side)
    order = np.stack([_turned(places, number).ravel() for number in range(COUNT)])
    turned: NDArray[np.float32] = outlines[:, order]
    return turned


def signatures(outlines: Embeddings) -> Embeddings:
    """Return unit vectors `(n, side * side)` that are equal for an outline's eight orientations.

    All magnitudes are positive, so the mean of those that are given is subtracted: the signatures
    of one call compare, and those of different calls do not.
    """
    count, length = outlines.shape
    if not count:
        return outlines
    side = round(length**0.5)
    cosines = _cosines(side)
    magnitudes = np.abs(cosines @ outlines.reshape(count, side, side) @ cosines.T)
    transposed = magnitudes.transpose(0, 2, 1)
    y, x = np.triu_indices(side, 1)
    parts = [
        np.diagonal(magnitudes, axis1=1, axis2=2),
        (magnitudes + transposed)[:, y, x] / np.sqrt(2),
        np.abs(magnitudes - transposed)[:, y, x] / np.sqrt(2),
    ]
    joined = np.concatenate(parts, axis=1)
    return unit(joined - joined.mean(axis=0))


def _turned(images: NDArray[np.generic], number: int) -> NDArray[np.generic]:
    if number & 1:
        images = images[:, ::-1]
    if number & 2:
        images = images[:, :, ::-1]
    return images.transpose(0, 2, 1) if number & 4 else images


def _cosines(side: int) -> NDArray[np.float32]:
    """Return the orthonormal cosine transform (DCT-II) of `side` values, `(side, side)`."""
    frequency, place = np.arange(side)[:, np.newaxis], np.arange(side)
    matrix: NDArray[np.float32] = np.cos(np.pi / side * frequency * (place + 0.5))
    matrix *= np.sqrt(2 / side)
    matrix[0] /= np.sqrt(2)
    return matrix.astype(np.float32)
