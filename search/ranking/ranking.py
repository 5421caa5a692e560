"""From a query's vector to a page of hits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from indexer.encoder import Embeddings
from indexer.errors import QueryError
from indexer.store.codec import Ids, Scores
from indexer.store.protocol import StoreReader
from indexer.store.records import Model
from search.hits import Hit

from .relevance import Estimator

if TYPE_CHECKING:  # loaded when they are needed
    from indexer.store.vector_index import Spread, VectorIndex
    from search.filters.filter import Filter

# Hits that are looked at at once when only relevant ones are wanted.
RELEVANT_PAGE = 256


class Options(TypedDict, total=False):
    """What to answer with.

    k: how many hits (10). offset: how many to pass over. min_relevance: only hits whose estimated
    P(match) is at least this. collapse: near-duplicates are one hit, the best of them, and k and
    offset count such groups. filter: which images may be answered; a hit's first paths are then
    those of its files that pass. labels: (label, p) pairs, each of which an image must show with
    an estimated probability above p.
    """

    k: int
    offset: int
    min_relevance: float
    collapse: bool
    filter: "Filter | None"
    labels: Sequence[tuple[str, float]]


def check(options: Options) -> None:
    """Raise QueryError for numbers that make no sense."""
    k, offset = options.get("k", 10), options.get("offset", 0)
    if k < 1 or offset < 0:
        raise QueryError(f"k must be 1 or more and offset 0 or more, not {k} and {offset}")
    least = options.get("min_relevance", 0.0)
    if not 0 <= least <= 1:
        raise QueryError(f"the least relevance must be from 0 to 1, not {least}")
    for label, probability in options.get("labels", ()):
        if not 0 <= probability <= 1:
            raise QueryError(f"the label {label!r} needs a probability from 0 to 1")


def passing_first(catalog: StoreReader, options: Options, hits: list[Hit]) -> list[Hit]:
    """The hits, those of their paths first that pass the filter."""
    chosen = options.get("filter")
    if not chosen:
        return hits
    first = chosen.paths(catalog, [hit.id for hit in hits])
    return [hit.with_first(first.get(hit.id, set())) for hit in hits]


@dataclass(frozen=True)
class Ranking:
    """A collection's images in the order of one vector `(dim,)`.

    kind: what the vector stands for, "text", "image" or "mixed". leave_out: contents that are no
    hits. among: the ids of the only contents to rank; all where it is None.
    """

    catalog: StoreReader
    index: "VectorIndex"
    model: Model
    estimator: Estimator | None
    vector: Embeddings
    kind: str = "text"
    leave_out: Sequence[int] = ()
    among: Ids | None = None

    def page(self, options: Options) -> list[Hit]:
        """The hits asked for, best first; `labels` and `filter` have become `among`."""
        return passing_first(self.catalog, options, self._page(options))

    def _page(self, options: Options) -> list[Hit]:
        k, offset = options.get("k", 10), options.get("offset", 0)
        least = options.get("min_relevance", 0.0)
        if options.get("collapse"):
            from .collapse import collapse

            return collapse(
                self.catalog, lambda count: self._best(count, least), k=k, offset=offset
            )
        page = self._best(k + offset, least)[offset:]
        return [replace(hit, rank=rank) for rank, hit in enumerate(page, start=offset + 1)]

    def _best(self, wanted: int, least: float) -> list[Hit]:
        """The `wanted` best hits of at least this relevance."""
        if least and self.estimator is None:
            raise QueryError(
                f"the model {self.model.name} carries no estimate of relevance: search without a "
                "least relevance"
            )
        count = max(wanted, RELEVANT_PAGE) if least else wanted
        while True:
            hits = self._hits(count)
            kept = [hit for hit in hits if (hit.relevance or 0.0) >= least]
            # Relevance falls with the score, if not strictly: half a page without any is the end.
            ended = len(hits) < count or not set(kept).intersection(hits[count // 2 :])
            if len(kept) >= wanted or ended:
                return kept[:wanted]
            count *= 4

    def _hits(self, count: int) -> list[Hit]:
        hidden = [*self.catalog.without_files(), *self.leave_out]
        scores, ids = self.index.search(self.vector, count, without=hidden, among=self.among)
        contents = self.catalog.contents(ids.tolist())
        relevance = self._relevance(scores, ids)
        hits: list[Hit] = []
        for score, number in zip(scores.tolist(), ids.tolist(), strict=True):
            content = contents.get(number)
            if content is not None:
                hits.append(Hit.of(content, score, relevance.get(number)))
        return hits

    def _relevance(self, scores: Scores, ids: Ids) -> dict[int, float]:
        """P(match) by content id; nothing where the model carries no estimate."""
        if self.estimator is None or not len(ids):
            return {}
        stored = self.catalog.embeddings_of(self.model.fingerprint, ids.tolist())
        known = np.array([number in stored for number in ids.tolist()])
        ids, scores = ids[known], scores[known]
        vectors = np.stack([stored[number] for number in ids.tolist()])
        estimates = self.estimator.hits(self.kind, scores, vectors, self._spread)
        return dict(zip(ids.tolist(), estimates.round(4).tolist(), strict=True))

    @cached_property
    def _spread(self) -> "Spread":
        """Of the vector's scores over the collection; the same however many hits are looked at."""
        return self.index.spread(self.vector)
