"""A flat FAISS index in half precision, with exact scores of the vectors in it.

It holds the same numbers as the catalog, so nothing is lost. The cost of a search is that of
reading memory, and half precision needs half as much as single precision.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self, cast

import faiss
import numpy as np
from numpy.typing import NDArray

from indexer.encoder import Embeddings, unit

from . import vector_file
from .codec import Halves, Ids, Scores

# Vectors that are widened at a time: 32 MiB of 512 dimensions.
ROWS = 16_384
# Rounding to half precision changes a unit vector's length, and so a score, by at most this share.
ROUNDING = 2.0**-11
# Candidates that are looked for beyond those asked for and a quarter; more are rarely needed.
EXTRA = 16
# How many of the nearest are looked for at least.
LEAST_NEAR = 256
# How many vectors estimate how many score above a minimum.
ESTIMATED = 4096
# So many are scored without BLAS, this many at a time.
FEW, PART = 4096, 256


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep FAISS to one thread inside.

    It searches for one query in one thread, and starts the others all the same, which wait for it
    in a busy loop: a seventh of a server's processor time.
    """
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


class Flat:
    """A FAISS index `IDMap(ScalarQuantizer(fp16))` in memory or in a mapped file.

    Scores are inner products with the unit vectors.

    Attributes:
        index: FAISS's index.
        size: How many vectors it holds.
        halves: The vectors `(n, dim)`, a view of the index's memory.
    """

    def __init__(self, index: Any) -> None:
        self.index = index  # owns the memory of the arrays below
        self.size: int = index.ntotal
        self._flat = cast(Any, faiss.downcast_index(index.index))
        codes = faiss.rev_swig_ptr(self._flat.codes.data(), self.size * self._flat.code_size)
        self._codes = codes.reshape(self.size, self._flat.code_size)
        self.halves: Halves = codes.view("<f2").reshape(self.size, self._flat.d)

    @classmethod
    def empty(cls, size: int, dim: int) -> Self:
        """Return an index in memory with space for `size` vectors, to be filled in.

        Adding vectors instead would double FAISS's buffer as it grows, and hold the old and the new
        one at once.
        """
        flat: Any = faiss.IndexScalarQuantizer(
            dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        index = faiss.IndexIDMap(flat)
        flat.codes.resize(size * flat.code_size)
        index.id_map.resize(size)
        index.ntotal = flat.ntotal = size
        return cls(index)

    @classmethod
    def of(cls, ids: Ids, vectors: Embeddings) -> Self:
        """Return an index of vectors `(n, dim)` in memory."""
        made = cls.empty(*vectors.shape)
        made.ids[:] = ids
        made.halves[:] = vectors
        return made

    @classmethod
    def map(cls, path: Path) -> Self | None:
        """Map a file that `write` made, and that was checked; None if FAISS cannot read it."""
        try:
            with open(path, "rb") as file:
                # FAISS takes no name that is not text: the open file has one that is.
                name = str(path)
                if not name.isascii() and os.path.exists(f"/proc/self/fd/{file.fileno()}"):
                    name = f"/proc/self/fd/{file.fileno()}"
                return cls(faiss.read_index(name, faiss.IO_FLAG_MMAP_IFC))
        except (RuntimeError, OSError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Write the index.

        Raises:
            OSError: The file cannot be written.
        """
        vector_file.write(path, self.ids, self.halves)

    def erase(self, path: Path, ids: Iterable[int]) -> bool:
        """Overwrite vectors with zeros in the file that this index is mapped from.

        Args:
            path: The file.
            ids: Whose vectors.

        Returns:
            Whether they were erased; False if the file is not laid out like that.
        """
        rows = np.flatnonzero(np.isin(self.ids, np.fromiter(ids, dtype=np.int64)))
        width = self.halves.shape[1] * self.halves.itemsize
        first = len(vector_file.header(*self.halves.shape))
        with open(path, "r+b") as file:
            for row in rows.tolist():
                file.seek(first + row * width)
                if file.read(width) != self.halves[row].tobytes():
                    return False
            for row in rows.tolist():
                file.seek(first + row * width)
                file.write(bytes(width))
        return True

    @cached_property
    def ids(self) -> Ids:
        """The ids `(n,)`, in the order of the vectors."""
        ids: Ids = faiss.rev_swig_ptr(self.index.id_map.data(), self.size)
        return ids

    @cached_property
    def sorted_ids(self) -> Ids:
        """The ids `(n,)`, ascending."""
        return self.ids if self._order is None else self.ids[self._order]

    @cached_property
    def _order(self) -> Ids | None:
        """The order that sorts the ids; None if they are ascending, as in most collections."""
        return None if bool((self.ids[1:] > self.ids[:-1]).all()) else np.argsort(self.ids)

    def best(self, query: Embeddings, count: int, selector: Any) -> tuple[Scores, Ids]:
        """Return the best vectors for a query.

        Args:
            query: `(dim,)`.
            count: How many vectors.
            selector: FAISS's selector of ids; None to accept all.

        Returns:
            Scores and ids `(m,)` in no order, m <= count.
        """
        return self.nearest(query, count, selector).best(count)

    def nearest(self, query: Embeddings, count: int, selector: Any) -> "Near":
        """Return vectors near a query, the best `count` among them; see `best`."""
        near = self._nearest(query, count + count // 4 + EXTRA, selector)
        while not near.has_best(count):
            near = self._nearest(query, 4 * len(near), selector)
        return near

    def _nearest(self, query: Embeddings, count: int, selector: Any) -> "Near":
        """Return so many of the vectors near a query, and at least LEAST_NEAR."""
        asked = min(max(count, LEAST_NEAR), self.size)
        rough, rows = self._rough(query, asked, selector)
        held = rows >= 0
        others = asked < self.size and bool(held[-1])
        return Near(self, query, rough[held], rows[held], others)

    def near(self, query: Embeddings, among: Ids) -> "Near":
        """Return those of the ids `among`, in any order, that the index holds, by their scores.

        They are gathered in an index of their own: a third of the time that `score` takes.
        """
        rows = self._rows(np.sort(among))
        rough, order = self._gathered(rows)._rough(query, len(rows), None)
        return Near(self, query, rough, rows[order])

    def above(self, query: Embeddings, minimum: float, selector: Any) -> Ids:
        """Return the ids `(m,)` of the vectors that score `minimum` or more, in no order.

        Args:
            query: `(dim,)`.
            minimum: The least score.
            selector: FAISS's selector of ids; None to accept all.
        """
        if not self.size:
            return np.empty(0, np.int64)
        # FAISS's own search by range takes ten times as long as one for as many.
        about = self.estimate_above(query, minimum) if self.size > 2 * ESTIMATED else 0
        near = self._nearest(query, int(1.5 * about), selector)
        while not near.has_above(minimum):
            near = self._nearest(query, 4 * len(near), selector)
        return self.ids[near.above(minimum)]

    def estimate_above(self, query: Embeddings, minimum: float) -> int:
        """Return about how many vectors score `minimum` or more, by a sample of them.

        Args:
            query: `(dim,)`.
            minimum: The least score.
        """
        sample = self._sample
        near, _ = sample._rough(query, min(LEAST_NEAR, sample.size), None)
        found = int((near >= minimum).sum())
        if found == len(near):
            near, _ = sample._rough(query, sample.size, None)
            found = int((near >= minimum).sum())
        return round(found / max(sample.size, 1) * self.size)

    @cached_property
    def _sample(self) -> "Flat":
        """Evenly chosen vectors."""
        return self._gathered(np.arange(0, self.size, max(1, self.size // ESTIMATED)))

    def _gathered(self, rows: Ids) -> "Flat":
        """Return an index in memory of some rows, without ids."""
        some = Flat.empty(len(rows), self._flat.d)
        np.take(self.halves, rows, axis=0, out=some.halves)
        return some

    def scores_of(self, query: Embeddings, among: Ids) -> tuple[Scores, Ids]:
        """Return the scores of those of the ids `among`, ascending, that the index holds."""
        rows = self._rows(among)
        return self.score(query, rows), self.ids[rows]

    def _rows(self, among: Ids) -> Ids:
        """Return the rows of those of the ids, ascending, that the index holds."""
        if self._order is None and len(among):
            rows: Ids = among - self.ids[0]  # where no id is missing
            if rows[0] >= 0 and rows[-1] < self.size and (self.ids[rows] == among).all():
                return rows
        places = np.searchsorted(self.ids, among, sorter=self._order)
        rows = np.minimum(places, self.size - 1)
        if self._order is not None:
            rows = self._order[rows]
        held: Ids = rows[self.ids[rows] == among]
        return held

    def _rough(self, query: Embeddings, count: int, selector: Any) -> tuple[Scores, Ids]:
        """Return FAISS's best scores and rows `(count,)`; where there are fewer, rows of -1."""
        if not count:
            return np.empty(0, np.float32), np.empty(0, np.int64)
        options = None
        if selector is not None:
            by_row = faiss.IDSelectorTranslated(self.index.id_map, selector)
            options = faiss.SearchParameters(sel=by_row)  # type: ignore[call-arg]
        with one_thread():
            scores, rows = self._flat.search(query[np.newaxis], count, params=options)
        return scores[0], rows[0]

    def score(self, query: Embeddings, rows: Ids) -> Scores:
        """Return the exact scores of some rows.

        Few are multiplied in this thread, in parts that stay in its cache: BLAS starts other
        threads, which then wait for their turn on a busy machine.
        """
        scores = np.empty(len(rows), dtype=np.float32)
        if len(rows) <= FEW:
            with one_thread():
                for start in range(0, len(rows), PART):
                    part = slice(start, start + PART)
                    # FAISS widens in a tenth of NumPy's time.
                    wide = unit(self._flat.sa_decode(self._codes[rows[part]]))
                    np.einsum("nd,d->n", wide, query, out=scores[part])
            return scores
        for start in range(0, len(rows), ROWS):
            block = slice(start, start + ROWS)
            scores[block] = unit(self.halves[rows[block]]) @ query
        return scores


@dataclass(frozen=True)
class Near:
    """Some vectors of an index in the order of their scores for a query.

    Attributes:
        flat: The index.
        query: `(dim,)`.
        rough: Scores `(n,)` of the vectors as they are stored, descending: not of unit norm.
        rows: Their rows.
        others: Whether there are others, whose rough scores are no higher.
    """

    flat: Flat
    query: Embeddings
    rough: Scores
    rows: Ids
    others: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def _most(self) -> NDArray[np.floating]:
        """The most that each can score exactly."""
        return self.rough + ROUNDING * np.abs(self.rough)

    def _least(self, count: int) -> float:
        """Return what the best `count` score at least, where there are as many."""
        rough = float(self.rough[count - 1])
        return rough - ROUNDING * abs(rough)

    def has_best(self, count: int) -> bool:
        """Return whether no other vector is one of the best `count`."""
        return not self.others or not count or bool(self._most[-1] < self._least(count))

    def best(self, count: int) -> tuple[Scores, Ids]:
        """Return the best of them, with their exact scores: `(m,)` in no order, m <= count."""
        wanted = min(count, len(self))
        if not wanted:
            return np.empty(0, np.float32), np.empty(0, np.int64)
        rows = self.rows[self._most >= self._least(wanted)]
        scores, ids = self.flat.score(self.query, rows), self.flat.ids[rows]
        if len(rows) > wanted:
            kept = np.lexsort((ids, -scores))[:wanted]
            scores, ids = scores[kept], ids[kept]
        return scores, ids

    def has_above(self, minimum: float) -> bool:
        """Return whether no other vector scores `minimum` or more."""
        return not self.others or bool(self._most[-1] < minimum)

    def above(self, minimum: float) -> Ids:
        """Return the rows `(m,)` of those that score `minimum` or more, in no order."""
        margin = 2 * ROUNDING
        sure = self.rough >= minimum + margin
        unsure = self.rows[~sure & (self.rough >= minimum - margin)]
        exact = unsure[self.flat.score(self.query, unsure) >= minimum]
        return np.concatenate([self.rows[sure], exact])
