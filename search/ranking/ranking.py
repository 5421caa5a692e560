"""From a query's vector to a page of hits."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from indexer.encoder import Embeddings
from indexer.errors import QueryError
from indexer.store.codec import Ids, Scores, damaged_row
from indexer.store.protocol import StoreReader
from indexer.store.records import Model
from search.hits import Hit
from search.request import SearchRequest

from .relevance import Estimator

if TYPE_CHECKING:  # loaded when they are needed
    from indexer.store.vector_index import Spread, VectorIndex
    from search.filters.filter import Filter

# By how much a score may differ from that of the vector in the catalog: rounding moves it less.
SCORE_TOLERANCE = 1e-4
# Hits that are ranked at once when there is a minimum relevance.
RELEVANT_PAGE = 256


def passing_first(catalog: StoreReader, chosen: "Filter | None", hits: list[Hit]) -> list[Hit]:
    """Return the hits with those of their paths first that pass the filter."""
    if not chosen:
        return hits
    first = chosen.paths(catalog, [hit.id for hit in hits])
    return [hit.with_first(first.get(hit.id, set())) for hit in hits]


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
    index: "VectorIndex"
    model: Model
    estimator: Estimator | None
    vector: Embeddings
    kind: str = "text"
    leave_out: Sequence[int] = ()
    among: Ids | None = None

    def page(self, request: SearchRequest) -> list[Hit]:
        """Return the page of hits that a request asks for, best first.

        The request's filter and labels have become `among`.

        Raises:
            QueryError: A minimum relevance is asked for, and the model cannot estimate it.
        """
        return passing_first(self.catalog, request.filter, self._page(request))

    def _page(self, request: SearchRequest) -> list[Hit]:
        k, offset, minimum = request.k, request.offset, request.min_relevance
        if request.collapse:
            from .collapse import collapse

            return collapse(
                self.catalog, lambda count: self._best(count, minimum), k=k, offset=offset
            )
        page = self._best(k + offset, minimum)[offset:]
        return [hit.ranked(rank) for rank, hit in enumerate(page, start=offset + 1)]

    def _best(self, wanted: int, minimum: float) -> list[Hit]:
        """Return the `wanted` best hits of at least this relevance."""
        if minimum and self.estimator is None:
            raise QueryError(
                f"the model {self.model.name} has no estimate of relevance: search without a "
                "minimum relevance"
            )
        count = max(wanted, RELEVANT_PAGE) if minimum else wanted
        while True:
            hits = self._hits(count)
            kept = [hit for hit in hits if (hit.relevance or 0.0) >= minimum]
            # Relevance falls with the score, if not strictly: half a page without any is the end.
            ended = len(hits) < count or not set(kept).intersection(hits[count // 2 :])
            if len(kept) >= wanted or ended:
                return kept[:wanted]
            count *= 4

    def _hits(self, count: int) -> list[Hit]:
        hidden = self._hidden
        for again in (False, True):
            if again:
                self.index.read_catalog(self.catalog, self.model.fingerprint, self.model.dim)
            scores, ids = self.index.search(self.vector, count, without=hidden, among=self.among)
            stored = self.catalog.embeddings_of(self.model.fingerprint, ids.tolist())
            contents = self.catalog.contents(ids.tolist())  # last: what is gone by now has neither
            if self._agree(scores, ids, stored, contents):
                break
        else:
            raise damaged_row("its vectors are not the same when they are read twice")
        relevance = self._relevance(scores, ids, stored)
        hits: list[Hit] = []
        for score, number in zip(scores.tolist(), ids.tolist(), strict=True):
            content = contents.get(number)
            if content is not None:
                hits.append(Hit.of(content, score, relevance.get(number), rank=len(hits) + 1))
        return hits

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

    def _relevance(
        self, scores: Scores, ids: Ids, stored: dict[int, Embeddings]
    ) -> dict[int, float]:
        """Return P(match) by content id; empty where the model has no estimate."""
        if self.estimator is None or not len(ids):
            return {}
        known = np.array([number in stored for number in ids.tolist()])
        ids, scores = ids[known], scores[known]
        if not len(ids):
            return {}
        vectors = np.stack([stored[number] for number in ids.tolist()])
        estimates = self.estimator.hits(self.kind, scores, vectors, self._spread)
        return dict(zip(ids.tolist(), estimates.round(4).tolist(), strict=True))

    @property
    def count(self) -> int:
        """How many images there are to rank: those that the vectors in memory are of."""
        return self.index.count(among=self.among, without=self._hidden)

    @cached_property
    def _hidden(self) -> list[int]:
        return [*self.catalog.without_files(), *self.leave_out]

    @cached_property
    def _spread(self) -> "Spread":
        """The spread of the vector's scores over the collection, computed once for all pages."""
        return self.index.spread(self.vector)
