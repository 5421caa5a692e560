"""From a query's vector to a page of hits."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from indexer.encoder import Embeddings
from indexer.errors import QueryError
from indexer.store.codec import Ids, Scores, damaged_row
from indexer.store.protocol import StoreReader
from indexer.store.records import Model
from search.hits import LIKELY, Hit, Results
from search.request import SearchRequest

from .query import REFINED
from .relevance import Boundary, Estimator

if TYPE_CHECKING:  # loaded when they are needed
    from indexer.store.protocol import VectorSearch
    from search.filters.filter import Filter

# By how much a score may differ from that of the vector in the catalog: rounding moves it less.
SCORE_TOLERANCE = 1e-4


def passing_first(catalog: StoreReader, chosen: "Filter | None", hits: list[Hit]) -> list[Hit]:
    """Return the hits with those of their paths first that pass the filter."""
    if not chosen:
        return hits
    first = chosen.paths(catalog, [hit.id for hit in hits])
    return [hit.with_first(first.get(hit.id, set())) for hit in hits]


def _at_least(minimum: float, ranked: Sequence[Hit]) -> list[Hit]:
    """Return the hits of at least this relevance, which come first: it falls with the rank."""
    return [hit for hit in ranked if (hit.relevance or 0.0) >= minimum]


@dataclass(frozen=True)
class Ranking:
    """The images of a collection in the order of their similarity to one vector.

    Args:
        catalog: The collection's catalog.
        index: Its vectors.
        model: The model that they were made with.
        estimator: The model's estimate of relevance, if it has one.
        vector: The query's vector `(dim,)`, of unit norm.
        kind: What the vector stands for: "text", "image" or "mixed".
        leave_out: Ids of contents that are never hits.
        among: Ids of the contents to rank, or None to rank all of them.
    """

    catalog: StoreReader
    index: "VectorSearch"
    model: Model
    estimator: Estimator | None
    vector: Embeddings
    kind: str = "text"
    leave_out: Sequence[int] = ()
    among: Ids | None = None

    def results(self, request: SearchRequest) -> Results:
        """Return the page of hits that a request asks for, and how many images there are to find.

        The request's filter and labels have become `among`.

        Raises:
            QueryError: A minimum relevance is asked for, and the model cannot estimate it.
        """
        minimum = request.min_relevance
        if minimum and self.kind == REFINED:
            raise QueryError(
                "a query of several examples has no estimate of relevance: search without a "
                "minimum relevance"
            )
        if minimum and self.boundary is None:
            raise QueryError(
                f"the model {self.model.name} has no estimate of relevance: search without a "
                "minimum relevance"
            )
        best: list[Hit] = []

        def ranked(count: int) -> list[Hit]:
            nonlocal best
            best = self._hits(count)
            return _at_least(minimum, best)

        if request.collapse:
            from .collapse import collapse

            hits = collapse(self.catalog, ranked, k=request.k, offset=request.offset)
        else:
            hits = ranked(request.k + request.offset)[request.offset :]
        return Results(
            passing_first(self.catalog, request.filter, hits),
            self.count,
            self._count_matches(best, max(LIKELY, minimum)),
        )

    def _count_matches(self, best: Sequence[Hit], minimum: float) -> int | None:
        """Return how many images have this relevance, beginning with the best of them."""
        if self.boundary is None:
            return None
        matches = _at_least(minimum, best)
        if len(matches) < len(best):
            return len(matches)
        least = float(self.boundary.score_at(minimum))
        return self.index.count_above(self.vector, least, without=self._hidden, among=self.among)

    def _hits(self, count: int) -> list[Hit]:
        for again in (False, True):
            if again:
                self.index.read_catalog(self.catalog, self.model.fingerprint, self.model.dim)
            scores, ids = self._best(count)
            stored = self.catalog.embeddings_of(self.model.fingerprint, ids.tolist())
            contents = self.catalog.contents(ids.tolist())  # last: what is gone by now has neither
            if self._agree(scores, ids, stored, contents):
                break
        else:
            raise damaged_row("its vectors are not the same when they are read twice")
        relevance: list[float | None] = [None] * len(ids)
        if self.boundary is not None:
            relevance = self.boundary.probability(scores).tolist()
        hits: list[Hit] = []
        for score, number, estimate in zip(scores.tolist(), ids.tolist(), relevance, strict=True):
            content = contents.get(number)
            if content is not None:
                hits.append(Hit.of(content, score, estimate, rank=len(hits) + 1))
        return hits

    def _best(self, count: int) -> tuple[Scores, Ids]:
        """Return (scores, ids) of the first `count` images, each `(n,)`."""
        return self.index.search(self.vector, count, without=self._hidden, among=self.among)

    def _agree(
        self,
        scores: Scores,
        ids: Ids,
        stored: dict[int, Embeddings],
        contents: Container[int],
    ) -> bool:
        """Return whether the scores are those of the vectors that the catalog holds."""
        return all(
            number in stored and abs(float(stored[number] @ self.vector) - score) < SCORE_TOLERANCE
            for number, score in zip(ids.tolist(), scores.tolist(), strict=True)
            if number in contents
        )

    @cached_property
    def boundary(self) -> Boundary | None:
        """Where matches begin; None if there is no estimate."""
        if self.estimator is None or self.kind == REFINED:
            return None
        return self.estimator.boundary(self.kind, self.vector)

    @property
    def count(self) -> int:
        """How many images there are to rank: those that the vectors in memory are of."""
        return self.index.count(among=self.among, without=self._hidden)

    @cached_property
    def _hidden(self) -> list[int]:
        return [*self.catalog.without_files(), *self.leave_out]
