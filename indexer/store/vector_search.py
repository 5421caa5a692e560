"""The face of a store's vectors for searches: `VectorIndex` (FAISS) and `PostgresVectors` have it.

Apart from `protocol`, which a search from the command line loads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from indexer.encoder import Embeddings

    from .codec import Ids, Scores
    from .protocol import StoreReader


class VectorSearch(Protocol):
    """The vectors of one model, as they are searched; scores are exact inner products."""

    generation: int

    @property
    def is_current(self) -> bool:
        """Whether what was opened is still to be believed."""

    @property
    def recall(self) -> float:
        """The share of the ten best vectors that searches found when that was measured."""

    def read_catalog(self, catalog: StoreReader, fingerprint: str, dim: int) -> None:
        """Read all vectors again, since scores differ from those of the catalog's vectors."""

    def search(
        self,
        query: Embeddings,
        count: int,
        *,
        without: Iterable[int] = (),
        among: Ids | None = None,
    ) -> tuple[Scores, Ids]:
        """Return the best vectors' scores, descending, and ids; equal ones in order of the ids."""

    def count_above(
        self,
        query: Embeddings,
        minimum: float,
        *,
        without: Iterable[int] = (),
        among: Ids | None = None,
    ) -> int:
        """Return how many vectors score `minimum` or more, or about how many."""

    def above(
        self,
        query: Embeddings,
        minimum: float,
        *,
        without: Iterable[int] = (),
        among: Ids | None = None,
    ) -> Ids:
        """Return the ids `(m,)` of the vectors that score `minimum` or more, ascending."""

    def count(self, *, among: Ids | None = None, without: Iterable[int] = ()) -> int:
        """Return how many vectors `search` chooses from."""

    def vectors(self) -> Iterator[tuple[Ids, Embeddings]]:
        """Yield (ids `(n,)`, vectors `(n, dim)`) of all, in parts."""

    def earliest(self, count: int) -> Embeddings:
        """Return the `count` vectors, `(m, dim)`, that were added first, by ascending id."""
