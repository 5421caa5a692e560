"""Uniform borders of gray thumbnails: frames, and the bars above and below a photo on a phone.

A border is cut from each side as far as its rows have one gray level. A strip at the very edge may
interrupt it, such as a phone's status bar. A border that ends within a row of pixels is mixed with
the image there: the mixture tells where it ends, so that what is left keeps its proportions.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexer.store.tables.contents import THUMBNAIL_SIDE as SIDE
from indexer.store.tables.contents import GrayThumbnails

# How much the gray levels of one border may differ.
TOLERANCE = 6
# How many rows at the very edge may show something else, if MIN_BAR rows of border follow.
MAX_STRIP, MIN_BAR = 3, 2
# Up to which share of border a row of pixels still tells what the image shows there.
MAX_MIXED = 0.7

Sizes = NDArray[np.float32]
"""`(n, 2)`: height and width in pixels of the thumbnails."""
_Lengths = NDArray[np.intp]


class Rests(NamedTuple):
    """What thumbnails show inside their borders.

    Attributes:
        rows: Which of the thumbnails have a border, `(m,)`, ascending.
        images: The rests, each resampled to a whole thumbnail, `(m, SIDE, SIDE)`.
        sizes: The rests' heights and widths in the thumbnails that they come from, `(m, 2)`.
    """

    rows: NDArray[np.intp]
    images: GrayThumbnails
    sizes: Sizes


def without_borders(images: GrayThumbnails) -> Rests:
    """Cut the uniform borders off gray thumbnails `(n, SIDE, SIDE)`.

    An image of one gray level has no border.
    """
    top, bottom = _cuts(images, np.ones(images.shape[:2], np.bool_))
    place = np.arange(SIDE)
    inside = (place >= top[:, np.newaxis]) & (place < SIDE - bottom[:, np.newaxis])
    left, right = _cuts(images.transpose(0, 2, 1), inside)
    rows = np.flatnonzero(top + bottom + left + right)
    values, sizes = images[rows].astype(np.float32), []
    for near, far in ((top, bottom), (left, right)):
        values, size = _resampled(values, near[rows], far[rows])
        values = values.transpose(0, 2, 1)  # the columns next, and upright again after them
        sizes.append(size)
    return Rests(rows, values.round().astype(np.uint8), np.stack(sizes, axis=1))


def _cuts(images: GrayThumbnails, seen: NDArray[np.bool_]) -> tuple[_Lengths, _Lengths]:
    """Return how many rows of border are at the start and at the end of each image, `(n,)` each.

    Args:
        images: `(n, SIDE, SIDE)`.
        seen: Which columns count, `(n, SIDE)`.
    """
    column = seen[:, np.newaxis]
    low = np.where(column, images, 255).min(axis=2).astype(np.int16)
    high = np.where(column, images, 0).max(axis=2).astype(np.int16)
    start, end = _border(low, high), _border(low[:, ::-1], high[:, ::-1])
    left_over = start + end < SIDE
    return np.where(left_over, start, 0), np.where(left_over, end, 0)


def _border(low: NDArray[np.int16], high: NDArray[np.int16]) -> _Lengths:
    """Return how many rows from the first on are border, by each row's extremes `(n, SIDE)`."""
    uniform = high - low <= TOLERANCE
    first = uniform[:, : MAX_STRIP + 1].argmax(axis=1)
    start = first[:, np.newaxis]
    level = np.take_along_axis(low + high, start, axis=1)
    alike = uniform & (np.abs(low + high - level) <= 2 * TOLERANCE)
    other = ~alike & (np.arange(SIDE) > start)
    end = np.where(other.any(axis=1), other.argmax(axis=1), SIDE)
    is_border = np.take_along_axis(uniform, start, axis=1)[:, 0]
    is_border &= (first == 0) | (end - first >= MIN_BAR)
    return np.where(is_border, end, 0)


def _resampled(
    images: NDArray[np.float32], near: _Lengths, far: _Lengths
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Stretch the rows inside borders to all rows, and return them with how many they were."""
    images, start = _unmixed(images, near)
    turned, rest = _unmixed(images[:, ::-1], far)
    images, end = turned[:, ::-1], SIDE - rest
    # Rows that show mostly the image.
    first = np.ceil(start - MAX_MIXED)
    last = np.maximum(np.floor(end + MAX_MIXED) - 1, first)
    steps = (np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE
    places = start[:, np.newaxis] + steps * (end - start)[:, np.newaxis] - 0.5
    places = places.clip(first[:, np.newaxis], last[:, np.newaxis]).clip(0, SIDE - 1)
    lower = np.minimum(places.astype(np.intp), SIDE - 2)
    share = (places - lower)[:, :, np.newaxis]
    above = np.take_along_axis(images, lower[:, :, np.newaxis], axis=1)
    below = np.take_along_axis(images, lower[:, :, np.newaxis] + 1, axis=1)
    return above + share * (below - above), end - start


def _unmixed(
    images: NDArray[np.float32], cut: _Lengths
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return images without the border's share of the row after `cut` rows of border.

    That row is taken for a mixture of the border's last row and the row that follows it.

    Returns:
        Images `(n, SIDE, SIDE)`, and where their borders end, `(n,)` in rows.
    """
    number = np.arange(len(images))
    border, mixed, image = (
        images[number, row.clip(0, SIDE - 1)] for row in (cut - 1, cut, cut + 1)
    )
    contrast = border - image
    share = ((mixed - image) * contrast).sum(axis=1) / np.maximum((contrast**2).sum(axis=1), 1)
    share = np.where(cut > 0, share.clip(0, 1), 0)
    partly = share[:, np.newaxis].clip(0, MAX_MIXED)
    result = images.copy()
    result[number, cut.clip(0, SIDE - 1)] = ((mixed - partly * border) / (1 - partly)).clip(0, 255)
    return result, (cut + share).astype(np.float32)
