"""One flat FAISS index, and scores of chosen vectors of it."""

from functools import cached_property
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from .encoder import Embeddings

Scores = NDArray[np.float32]
Ids = NDArray[np.int64]

# Gathered at a time: 32 MiB of 512 dimensions.
GATHER_ROWS = 16_384


class Flat:
    """A FAISS index `IDMap(Flat)`: its ids `(n,)` and vectors `(n, dim)`, as they lie in its memory
    or in the mapped file.
    """

    def __init__(self, index: Any) -> None:
        self.index = index
        self.size: int = index.ntotal
        flat: Any = faiss.downcast_index(index.index)
        self.vectors: Embeddings = faiss.rev_swig_ptr(flat.get_xb(), self.size * flat.d).reshape(
            self.size, flat.d
        )

    @cached_property
    def ids(self) -> Ids:
        """A copy of the ids, made when it is first needed."""
        ids: Ids = faiss.vector_to_array(self.index.id_map)
        return ids

    @cached_property
    def _order(self) -> Ids | None:
        """What sorts the ids; None where they lie sorted, as in most collections."""
        return None if bool((self.ids[1:] > self.ids[:-1]).all()) else np.argsort(self.ids)

    def best(self, query: Embeddings, count: int, selector: Any) -> tuple[Scores, Ids]:
        """The `count` best that FAISS's selector lets pass; all pass where it is None."""
        scores, ids = self.neighbours(query[np.newaxis], min(count, self.size), selector)
        kept = ids[0] >= 0
        return scores[0][kept], ids[0][kept]

    def neighbours(self, queries: Embeddings, count: int, selector: Any) -> tuple[Scores, Ids]:
        """The `count` best of each query `(m, dim)`: `(m, count)`, ids -1 where there are fewer."""
        options = None if selector is None else faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
        scores, ids = self.index.search(queries, count, params=options)
        return scores, ids

    def scores_of(self, query: Embeddings, among: Ids) -> tuple[Scores, Ids]:
        """The score of each of these ids (rising) that the part holds."""
        places = np.searchsorted(self.ids, among, sorter=self._order)
        rows = np.minimum(places, self.size - 1)
        if self._order is not None:
            rows = self._order[rows]
        held = self.ids[rows] == among
        rows = rows[held]
        scores = np.empty(len(rows), dtype=np.float32)
        for start in range(0, len(rows), GATHER_ROWS):
            block = slice(start, start + GATHER_ROWS)
            scores[block] = self.vectors[rows[block]] @ query
        return scores, among[held]
