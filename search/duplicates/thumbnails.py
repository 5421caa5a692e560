"""Keeps gray thumbnails in memory and compares them pair by pair."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from indexer.encoder import Embeddings, unit
from indexer.store.protocol import StoreReader
from indexer.store.tables.contents import THUMBNAIL_SIDE, GrayThumbnails

from .pair_similarity import blurred, correlations

# The minimum correlation of near-duplicates; chosen on Caltech-101's training photos, see
# benchmarks/duplicates.py.
THRESHOLD = 0.92
# Pairs whose outlines are less alike than this are rejected without aligning them.
MIN_OUTLINE = 0.4
OUTLINE_SIDE = 8
BLOCK = 512


class ThumbnailStore:
    """Gray thumbnails of a collection's images; each takes 1.3 KB of memory.

    Attributes:
        ids: The contents that are loaded, `(n,)`.
        thumbnails: In the same order.
        outlines: `(n, 64)`, in the same order.
    """

    def __init__(self, catalog: StoreReader) -> None:
        self._catalog = catalog
        self.ids = np.empty(0, np.int64)
        self.thumbnails: GrayThumbnails = np.empty((0, THUMBNAIL_SIDE, THUMBNAIL_SIDE), np.uint8)
        self.outlines: Embeddings = np.empty((0, OUTLINE_SIDE**2), np.float32)
        self._rows: dict[int, int] = {}
        self._whole = False

    def __contains__(self, number: int) -> bool:
        return number in self._rows

    def load(self, numbers: Iterable[int] | None = None) -> None:
        """Load thumbnails, those of larger images first.

        Args:
            numbers: The contents to load, except those without a thumbnail or a file; None for all
                images of the collection.
        """
        wanted = None
        if self._whole:
            return
        if numbers is not None:
            wanted = sorted({number for number in numbers if number not in self._rows})
        ids, thumbnails = self._catalog.gray_thumbnails(wanted)
        if numbers is None:
            self.ids, self.thumbnails, self.outlines = ids, thumbnails, outlines(thumbnails)
            self._whole = True
        elif len(ids):
            self.ids = np.concatenate([self.ids, ids])
            self.thumbnails = np.concatenate([self.thumbnails, thumbnails])
            self.outlines = np.concatenate([self.outlines, outlines(thumbnails)])
        self._rows = {number: row for row, number in enumerate(self.ids.tolist())}

    def outlines_of(self, numbers: Sequence[int]) -> Embeddings:
        """Return the outlines `(n, 64)` of some loaded contents."""
        return self.outlines[[self._rows[number] for number in numbers]]

    def similarities(self, pairs: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
        """Return how alike the contents of each pair are: `(n,)`, 0 to 1, in either order."""
        result = np.zeros(len(pairs), np.float32)
        if not pairs:
            return result
        rows = np.array([sorted((self._rows[a], self._rows[b])) for a, b in pairs])
        close = np.einsum("np,np->n", *(self.outlines[column] for column in rows.T))
        likely = np.flatnonzero(close >= MIN_OUTLINE)
        # The smaller image may be a crop of the larger one, so it is the one that lies inside.
        result[likely] = correlations(
            self.thumbnails[rows[likely, 1]], self.thumbnails[rows[likely, 0]]
        )
        return result


def outlines(images: GrayThumbnails) -> Embeddings:
    """Return unit vectors `(n, 64)`: each image as 8 x 8 pixels without its slowest shading."""
    step = THUMBNAIL_SIDE // OUTLINE_SIDE
    parts = [np.empty((0, OUTLINE_SIDE**2), np.float32)]
    for start in range(0, len(images), BLOCK):
        values = images[start : start + BLOCK].astype(np.float32)
        values = blurred(values, 1.0) - blurred(values, THUMBNAIL_SIDE / 4)
        small = values.reshape(len(values), OUTLINE_SIDE, step, OUTLINE_SIDE, step).mean((2, 4))
        flat = small.reshape(len(values), -1)
        parts.append(unit(flat - flat.mean(axis=1, keepdims=True)))
    return np.concatenate(parts)
