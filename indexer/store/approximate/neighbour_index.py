"""Nearest neighbours of many vectors among each other, at a cost that stays below quadratic.

Up to EXACT vectors, all pairs are compared. Above, FAISS sorts the vectors into lists around
centroids (IVF), and a query is compared with the centroids and with the nearest lists only. That
may miss a neighbour, and hardly ever one that is very close, such as that of a near-duplicate:
benchmarks/duplicates.py compares what either finds.

Source: Jegou, Douze & Schmid, Product Quantization for Nearest Neighbor Search, TPAMI 2011,
section IV (the inverted file, here with whole vectors).
"""

from collections.abc import Iterable
from math import ceil, sqrt
from typing import Any, Self

import faiss
import numpy as np

from indexer.encoder import Embeddings
from indexer.store.codec import Ids

EXACT = 5_000
# Lists for n vectors: this times the square root of n.
LISTS = 4
# With how many lists a query is compared; more for many neighbours, so that those lists hold this
# many times as many vectors as are asked for.
PROBES, SPARE = 8, 4
# Training: vectors a list, and rounds.
SAMPLES, ROUNDS = 32, 6


class NeighbourIndex:
    """An index of vectors that are asked for their neighbours."""

    def __init__(self, index: Any, ids: Ids) -> None:
        self._index = index
        self._ids = np.append(ids, -1)  # where FAISS has found too few, it says -1

    @classmethod
    def of(cls, vectors: Iterable[tuple[Ids, Embeddings]], *, exact: int = EXACT) -> Self:
        """Return an index of unit vectors.

        Args:
            vectors: (ids `(n,)`, vectors `(n, dim)`), in parts.
            exact: Up to how many vectors all pairs are compared.
        """
        parts = [part for part in vectors if len(part[0])]
        if not parts:
            return cls(faiss.IndexFlatIP(1), np.empty(0, np.int64))
        ids = np.concatenate([numbers for numbers, _ in parts])
        dim = parts[0][1].shape[1]
        if len(ids) <= exact:
            index: Any = faiss.IndexFlatIP(dim)
        else:
            lists = round(LISTS * sqrt(len(ids)))
            index = faiss.IndexIVFFlat(
                faiss.IndexFlatIP(dim), dim, lists, faiss.METRIC_INNER_PRODUCT
            )
            index.cp.niter, index.cp.max_points_per_centroid = ROUNDS, SAMPLES
            index.cp.min_points_per_centroid = 1  # or FAISS prints that it would like more
            step = max(1, len(ids) // (SAMPLES * lists))
            index.train(np.concatenate([rows[::step] for _, rows in parts]))
        for _, rows in parts:
            index.add(np.ascontiguousarray(rows))
        return cls(index, ids)

    def neighbours(self, queries: Embeddings, count: int) -> Ids:
        """Return the ids `(m, count)` of the vectors nearest to queries `(m, dim)`, nearest first.

        Where there are fewer, or fewer were looked at, the id is -1.
        """
        size = len(self._ids) - 1
        if not size:
            return np.full((len(queries), count), -1, np.int64)
        if isinstance(self._index, faiss.IndexIVF):
            probes = max(PROBES, ceil(SPARE * count * self._index.nlist / size))
            self._index.nprobe = min(probes, self._index.nlist)
        rows = self._index.search(np.ascontiguousarray(queries), min(count, size))[1]
        found = self._ids[rows]
        missing = ((0, 0), (0, count - found.shape[1]))
        return np.pad(found, missing, constant_values=-1)
