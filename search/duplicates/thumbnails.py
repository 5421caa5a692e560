"""Keeps the gray thumbnails of a collection in memory and compares them pair by pair."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from indexer.store.codec import Ids
from indexer.store.protocol import StoreReader
from indexer.store.tables.contents import THUMBNAIL_SIDE

from .views import Views


class ThumbnailStore:
    """Gray thumbnails of a collection's images; each takes 1.3 KB of memory, or 2.6 with a border.

    Attributes:
        ids: The contents that are loaded, `(n,)`.
        views: Of the contents in the same order.
    """

    def __init__(self, catalog: StoreReader) -> None:
        self._catalog = catalog
        self.ids: Ids = np.empty(0, np.int64)
        self.views = Views.of(np.empty((0, THUMBNAIL_SIDE, THUMBNAIL_SIDE), np.uint8))
        self._rows: dict[int, int] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._rows

    def load(self, numbers: Iterable[int] | None = None) -> None:
        """Load thumbnails instead of those that were loaded before, those of larger images first.

        Args:
            numbers: The contents to load, except those without a thumbnail or a file; None for all
                images of the collection.
        """
        wanted = None if numbers is None else sorted(set(numbers))
        self.ids, thumbnails = self._catalog.gray_thumbnails(wanted)
        self.views = Views.of(thumbnails)
        self._rows = {number: row for row, number in enumerate(self.ids.tolist())}

    def views_of(self, numbers: Sequence[int]) -> tuple[list[int], NDArray[np.intp]]:
        """Return the views of some loaded contents: (the content of each, which view it is)."""
        rows = np.array([self._rows[number] for number in numbers], np.intp)
        rests = self.views.rest[rows]
        chosen = np.concatenate([rows, rests[rests >= 0]])
        return self.ids[self.views.owners[chosen]].tolist(), chosen

    def similarities(self, pairs: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
        """Return how alike the contents of each pair are: `(n,)`, 0 to 1, in either order."""
        if not pairs:
            return np.empty(0, np.float32)
        rows = np.array([sorted((self._rows[a], self._rows[b])) for a, b in pairs])
        # The smaller image may be a crop of the larger one.
        return self.views.similarities(rows[:, 1], rows[:, 0])
