"""The views of images that are compared: each as a whole and, where it has a border, without it.

Two images are alike if any view of one is like any view of the other, in any of the eight
orientations. Two exceptions keep a shared border from making a pair: of two images with borders
the rests must be alike, and a rest of a few pixels proves nothing unless the whole images are
alike, too.

Aligning is what costs time. So the outlines choose: upright views are aligned unless they are
clearly different, and of all others the MAX_TRIES most similar ones.
"""

from functools import cache
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from indexer.encoder import Embeddings, unit
from indexer.store.tables.contents import THUMBNAIL_SIDE as SIDE
from indexer.store.tables.contents import GrayThumbnails

from .borders import Sizes, without_borders
from .orientations import is_transposed, oriented, oriented_outlines
from .pair_similarity import THRESHOLD, blurred, correlations

OUTLINE_SIDE = 8
# The least similarity of the outlines of views that are aligned: of two wholes or two rests, of a
# whole and a rest, and of any two in another orientation.
MIN_OUTLINE, MIN_REST_OUTLINE, MIN_TURNED_OUTLINE = 0.4, 0.5, 0.7
# How many views of the latter kinds are aligned for each pair of images.
MAX_TRIES = 1
# By how much the difference from 1 counts more in another orientation: eight tries find more that
# is alike by chance.
TURNED_STRICTNESS = 4 / 3
# The least side of a rest that is compared with other images' wholes, in pixels of the thumbnail.
MIN_REST = 6
BLOCK = 512

Rows = NDArray[np.intp]


class Views(NamedTuple):
    """The views of `n` images: first the `n` whole images, then the rests inside borders.

    Attributes:
        images: `(v, SIDE, SIDE)`.
        outlines: `(v, 64)`, see `outlines`.
        sizes: Each view's height and width in the thumbnail that it comes from, `(v, 2)`.
        owners: The image that each view shows, `(v,)`.
        rest: The view of each image without its border, `(n,)`; -1 where it has none.
    """

    images: GrayThumbnails
    outlines: Embeddings
    sizes: Sizes
    owners: Rows
    rest: Rows

    @classmethod
    def of(cls, thumbnails: GrayThumbnails) -> Self:
        """Return the views of gray thumbnails `(n, SIDE, SIDE)`."""
        count = len(thumbnails)
        parts = [
            without_borders(thumbnails[start : start + BLOCK])
            for start in range(0, max(count, 1), BLOCK)
        ]
        rows = np.concatenate([part.rows + BLOCK * number for number, part in enumerate(parts)])
        images = np.concatenate([thumbnails, *(part.images for part in parts)])
        whole = np.full((count, 2), SIDE, np.float32)
        rest = np.full(count, -1)
        rest[rows] = count + np.arange(len(rows))
        return cls(
            images,
            outlines(images),
            np.concatenate([whole, *(part.sizes for part in parts)]),
            np.concatenate([np.arange(count), rows]),
            rest,
        )

    def shares(self) -> NDArray[np.float32]:
        """Return how much of each image is not border, `(n,)`, 0 to 1."""
        shown = np.where(self.rest < 0, np.arange(len(self.rest)), self.rest)
        shares: NDArray[np.float32] = self.sizes[shown].prod(axis=1) / SIDE**2
        return shares

    def similarities(self, members: Rows, others: Rows) -> NDArray[np.float32]:
        """Return how alike pairs of images are.

        Args:
            members: An image of each pair, `(m,)`: that which may be a crop of the other.
            others: The other one, `(m,)`.

        Returns:
            `(m,)`, 0 to 1.
        """
        result = np.zeros(len(members), np.float32)
        for start in range(0, len(members), BLOCK):
            part = slice(start, start + BLOCK)
            result[part] = self._similarities(members[part], others[part])
        return result

    def _similarities(self, members: Rows, others: Rows) -> NDArray[np.float32]:
        inner, outer = self.rest[members], self.rest[others]
        framed = (inner >= 0) & (outer >= 0)
        # The views that decide if both images are upright and have a border or have none.
        result = self._upright(np.where(framed, inner, members), np.where(framed, outer, others))
        small = np.flatnonzero(framed & ~(self._is_large(inner) & self._is_large(outer)))
        result[small] = np.minimum(result[small], self._upright(members[small], others[small]))
        rest = np.flatnonzero(result < THRESHOLD)
        pair, left, right, orientation = self._others(members[rest], others[rest])
        found = self._aligned(left, right, orientation)
        found[orientation > 0] = 1 - TURNED_STRICTNESS * (1 - found[orientation > 0])
        np.maximum.at(result, rest[pair], found)
        return result

    def _upright(self, left: Rows, right: Rows) -> NDArray[np.float32]:
        """Return how alike views are as they are, `(m,)`."""
        result = np.zeros(len(left), np.float32)
        close = np.einsum("np,np->n", self.outlines[left], self.outlines[right])
        likely = np.flatnonzero(close >= MIN_OUTLINE)
        upright = np.zeros(len(likely), np.intp)
        result[likely] = self._aligned(left[likely], right[likely], upright)
        return result

    def _others(self, members: Rows, others: Rows) -> tuple[Rows, Rows, Rows, Rows]:
        """Return further views of pairs to align: (pair, left view, right view, orientation)."""
        inner, outer = self.rest[members], self.rest[others]
        framed = (inner >= 0) & (outer >= 0)
        large = self._is_large(inner), self._is_large(outer)
        # Views, for which pairs they are compared, and the first orientation.
        kinds = (
            (members, others, ~framed, 1),
            (inner, others, large[0], 0),
            (members, outer, large[1], 0),
            (inner, outer, large[0] & large[1], 1),
        )
        found = []
        for left, right, which, first in kinds:
            pairs = np.flatnonzero(which)
            ways = oriented_outlines(self.outlines[right[pairs]])[:, first:]
            close = np.einsum("np,nop->no", self.outlines[left[pairs]], ways)
            least = np.full(ways.shape[1], MIN_TURNED_OUTLINE)
            if not first:
                least[0] = MIN_REST_OUTLINE
            place, way = np.nonzero(close >= least)
            pair = pairs[place]
            found.append((pair, left[pair], right[pair], way + first, close[place, way]))
        pair, left, right, orientation, close = (
            np.concatenate(part) for part in zip(*found, strict=True)
        )
        order = np.lexsort((-close, pair))
        # How many of the same pair come before.
        before = np.arange(len(order)) - np.searchsorted(pair[order], pair[order])
        best = order[before < MAX_TRIES]
        return pair[best], left[best], right[best], orientation[best]

    def _is_large(self, rest: Rows) -> NDArray[np.bool_]:
        """Return whether views, or -1 for none, are rests that prove something by themselves."""
        large: NDArray[np.bool_] = (rest >= 0) & (self.sizes[rest].min(axis=1) >= MIN_REST)
        return large

    def _aligned(self, left: Rows, right: Rows, orientation: Rows) -> NDArray[np.float32]:
        """Return the correlations of views with others in an orientation after alignment, `(m,)`.

        Each is brought to the detail that the other has.
        """
        images = self.images[left], oriented(self.images[right], orientation)
        sizes = self.sizes[left], self.sizes[right].copy()
        turned = is_transposed(orientation)
        sizes[1][turned] = sizes[1][turned, ::-1]
        return correlations(
            with_detail_of(images[0], *sizes), with_detail_of(images[1], *sizes[::-1])
        )


def outlines(images: GrayThumbnails) -> Embeddings:
    """Return unit vectors `(n, 64)`: each image as 8 x 8 pixels without its slowest shading."""
    step = SIDE // OUTLINE_SIDE
    parts = [np.empty((0, OUTLINE_SIDE**2), np.float32)]
    for start in range(0, len(images), BLOCK):
        values = images[start : start + BLOCK].astype(np.float32)
        values = blurred(values, 1.0) - blurred(values, SIDE / 4)
        small = values.reshape(len(values), OUTLINE_SIDE, step, OUTLINE_SIDE, step).mean((2, 4))
        flat = small.reshape(len(values), -1)
        parts.append(unit(flat - flat.mean(axis=1, keepdims=True)))
    return np.concatenate(parts)


def with_detail_of(images: GrayThumbnails, own: Sizes, other: Sizes) -> NDArray[np.float32]:
    """Return images without the detail that views of fewer pixels cannot show.

    Args:
        images: `(n, SIDE, SIDE)`.
        own: The sizes of the images as views, `(n, 2)`.
        other: The sizes of those with which they are compared, `(n, 2)`.
    """
    values = images.astype(np.float32)
    sizes = np.where(other < own, other, SIDE).round().astype(np.intp).clip(1, SIDE)
    rows = np.flatnonzero(sizes.min(axis=1) < SIDE)
    if len(rows):
        down, across = (_reductions()[sizes[rows, axis]] for axis in (0, 1))
        values[rows] = down @ values[rows] @ across.transpose(0, 2, 1)
    return values


@cache
def _reductions() -> NDArray[np.float32]:
    """Return matrices `(SIDE + 1, SIDE, SIDE)` that reduce columns to so many pixels and back.

    They take the means of equal parts, and interpolate linearly between these.
    """
    result = np.zeros((SIDE + 1, SIDE, SIDE), np.float32)
    pixels = np.arange(SIDE)
    for size in range(1, SIDE + 1):
        edges = np.linspace(0, SIDE, size + 1)[:, np.newaxis]
        overlap = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
        means = overlap.clip(0) * size / SIDE
        places = (pixels + 0.5) * size / SIDE - 0.5
        weights = 1 - np.abs(places.clip(0, size - 1)[:, np.newaxis] - np.arange(size))
        result[size] = weights.clip(0) @ means
    return result
