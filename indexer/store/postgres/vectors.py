"""Search by vector in the database: exact for few vectors, by the index for many."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Self

import numpy as np

from indexer.encoder import Embeddings, unit
from indexer.store.codec import Ids, Scores, halves_of

from .halfvec import Full
from .hnsw import ROUNDING, Hnsw, exact, nearest

if TYPE_CHECKING:
    from indexer.store.protocol import StoreReader

    from .store import PostgresStore

# Scoring the vectors that pass a filter takes time with their number, and the index with what it
# passes over: it is faster where their number times their share is more than this. Measured by
# benchmarks/postgres.py.
BORDER = 1_600
# Ids are sent as one bit each, rather than as numbers, where more than this share of them pass.
BITS_SHARE = 1 / 3
# So many of the best are looked at to count those above a score.
COUNTED = 1_000
# The first condition leaves few vectors to the second, which takes twice the time.
ABOVE = "-(vector <#> ?::halfvec) >= ? AND -(vector::vector <#> ?) >= ?"
# Vectors of a sample that estimates how many score above something.
SAMPLE = 4_000


class PostgresVectors:
    """The vectors of one model in a PostgreSQL database, at one generation and after.

    Every statement sees what is committed when it runs; `generation` says what was when the index
    and the number of vectors were looked up.
    """

    def __init__(
        self,
        store: "PostgresStore",
        fingerprint: str,
        dim: int,
        *,
        generation: int,
        size: int,
        hnsw: Hnsw | None,
    ) -> None:
        self._store = store
        self._fingerprint = fingerprint
        self._dim = dim
        self.generation = generation
        self._size = size
        self._hnsw = hnsw

    @classmethod
    def open(cls, store: "PostgresStore", fingerprint: str, dim: int) -> Self:
        """Look up how the vectors of a model are searched."""
        generation = store.generation()
        hnsw = Hnsw.of(store, fingerprint)
        size = store.count_embeddings(fingerprint)
        return cls(store, fingerprint, dim, generation=generation, size=size, hnsw=hnsw)

    @property
    def is_current(self) -> bool:
        """True: the server shows what is committed."""
        return True

    @property
    def recall(self) -> float:
        """The share of the ten best vectors that searches found when the index was measured."""
        return 1.0 if self._hnsw is None else self._hnsw.recall

    def read_catalog(self, catalog: "StoreReader", fingerprint: str, dim: int) -> None:
        """Look up anew how the vectors are searched: what they are is read each time."""
        again = PostgresVectors.open(self._store, fingerprint, dim)
        self.generation, self._size, self._hnsw = again.generation, again._size, again._hnsw

    def search(
        self,
        query: Embeddings,
        count: int,
        *,
        without: Iterable[int] = (),
        among: Ids | None = None,
    ) -> tuple[Scores, Ids]:
        """Return the best vectors for a query, with their exact scores.

        Args:
            query: `(dim,)`.
            count: How many vectors.
            without: Ids to leave out.
            among: Only these ids, ascending; None for all.

        Returns:
            Scores `(m,)`, descending, and ids `(m,)`, m <= count. Equal scores come in the order of
            their ids.
        """
        found = None
        by_index = self._hnsw is not None and (
            among is None or len(among) ** 2 > BORDER * self._size
        )
        conditions, values = self._conditions(without, among, bits=by_index)
        if self._hnsw is not None and by_index:
            found = nearest(
                self._store,
                self._fingerprint,
                self._dim,
                query,
                count,
                ef_search=self._hnsw.ef_search,
                conditions=conditions,
                values=values,
            )
        # A filter that few of the nearest pass leaves too little.
        if found is None or len(found) < count:
            found = exact(self._store, self._fingerprint, query, count, conditions, values)
        scores = np.array([score for _, score in found], dtype=np.float32)
        return scores, np.array([number for number, _ in found], dtype=np.int64)

    def count_above(
        self,
        query: Embeddings,
        minimum: float,
        *,
        without: Iterable[int] = (),
        among: Ids | None = None,
    ) -> int:
        """Return how many vectors score `minimum` or more; of many, about how many.

        Args:
            query: `(dim,)`.
            minimum: The least score.
            without: As of `search`.
            among: As of `search`.
        """
        if self._hnsw is not None and among is None:
            scores, _ = self.search(query, COUNTED, without=without)
            found = int((scores >= minimum).sum())
            return found if found < len(scores) else max(found, self._estimate(query, minimum))
        conditions, values = self._conditions(without, among)
        row = self._store.session.execute(
            f"SELECT count(*) FROM embeddings WHERE fingerprint = ?{conditions} AND {ABOVE}",
            (self._fingerprint, *values, *_above(query, minimum)),
        ).fetchone()
        return int(row[0]) if row else 0

    def _estimate(self, query: Embeddings, minimum: float) -> int:
        """Return about how many vectors score `minimum` or more, by a sample of the table."""
        percent = min(100.0, 100.0 * SAMPLE / max(1, self._size))
        row = self._store.session.execute(
            "SELECT count(*) FILTER (WHERE -(vector <#> ?::halfvec) >= ?), count(*) "
            f"FROM embeddings TABLESAMPLE SYSTEM ({percent:.6f}) REPEATABLE (1) "
            "WHERE fingerprint = ?",
            (Full(query), float(minimum), self._fingerprint),
        ).fetchone()
        return round(self._size * row[0] / row[1]) if row and row[1] else 0

    def above(
        self,
        query: Embeddings,
        minimum: float,
        *,
        without: Iterable[int] = (),
        among: Ids | None = None,
    ) -> Ids:
        """Return the ids `(m,)` of the vectors that score `minimum` or more, ascending.

        Args:
            query: `(dim,)`.
            minimum: The least score.
            without: As of `search`.
            among: As of `search`.
        """
        conditions, values = self._conditions(without, among)
        rows = self._store.session.execute(
            f"SELECT content FROM embeddings WHERE fingerprint = ?{conditions} AND {ABOVE} "
            "ORDER BY content",
            (self._fingerprint, *values, *_above(query, minimum)),
        )
        return np.array([number for (number,) in rows], dtype=np.int64)

    def count(self, *, among: Ids | None = None, without: Iterable[int] = ()) -> int:
        """Return how many vectors `search` chooses from.

        Args:
            among: As of `search`.
            without: As of `search`.
        """
        if among is None:
            hidden = np.array(sorted({int(number) for number in without}), dtype=np.int64)
            return self._size - (self.count(among=hidden) if hidden.size else 0)
        conditions, values = self._conditions(without, among)
        row = self._store.session.execute(
            f"SELECT count(*) FROM embeddings WHERE fingerprint = ?{conditions}",
            (self._fingerprint, *values),
        ).fetchone()
        return int(row[0]) if row else 0

    def _conditions(
        self, without: Iterable[int], among: Ids | None, *, bits: bool = False
    ) -> tuple[str, tuple[object, ...]]:
        """Return SQL that holds for the ids to search, and its parameters.

        Args:
            without: Ids to leave out.
            among: Only these ids, ascending; None for all.
            bits: Whether these are sent as bits, whatever their share.
        """
        text, values = "", list[object]()
        if among is not None and among.size and (bits or len(among) > BITS_SHARE * self._size):
            mask = np.zeros(int(among[-1]) + 1, dtype=bool)
            mask[among] = True
            text += f" AND CASE WHEN content < {len(mask)} THEN get_bit(?, content) ELSE 0 END = 1"
            values.append(np.packbits(mask, bitorder="little").tobytes())
        elif among is not None:
            text += " AND content = ANY(?)"
            values.append(np.asarray(among, dtype=np.int64).tolist())
        excluded = sorted({int(number) for number in without})
        if excluded:
            text += " AND NOT content = ANY(?)"
            values.append(excluded)
        return text, tuple(values)

    def vectors(self) -> Iterator[tuple[Ids, Embeddings]]:
        """Yield (ids `(n,)`, vectors `(n, dim)`) of all, in parts."""
        return self._store.embeddings(self._fingerprint)

    def earliest(self, count: int) -> Embeddings:
        """Return the `count` vectors, `(m, dim)`, that were added first, by ascending id."""
        rows = self._store.session.execute(
            "SELECT content, vector FROM embeddings WHERE fingerprint = ? ORDER BY content LIMIT ?",
            (self._fingerprint, count),
        ).fetchall()
        if not rows:
            return np.empty((0, 0), np.float32)
        return unit(halves_of(rows, self._dim)[1])


def _above(query: Embeddings, minimum: float) -> tuple[object, ...]:
    """Return the parameters of ABOVE."""
    wanted = Full(query)
    return wanted, float(minimum) - ROUNDING, wanted, float(minimum)
