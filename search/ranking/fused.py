"""The ranking by what images show and the list of those that the query names, as one list.

Source: Cormack, Clarke, Buettcher: Reciprocal Rank Fusion outperforms Condorcet and individual Rank
Learning Methods, SIGIR 2009.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from indexer.store.codec import Ids, Scores
from search.hits import LIKELY, Hit, Results
from search.request import SearchRequest

from .named import MIN_SHARE, Named, named
from .ranking import Ranking

# The constant of the paper.
RANK_CONSTANT = 60
# Images of each list that are fused: matches, and those that are named. After them come the others,
# by what they show.
MAX_SHOWING = 200
MAX_NAMED = 1000


@dataclass(frozen=True)
class FusedRanking(Ranking):
    """The images of a collection by what they show and by what the query's words name.

    Args:
        text: The words.
    """

    text: str = ""

    def results(self, request: SearchRequest) -> Results:
        """Return the page of hits that a request asks for, and how many images there are to find.

        Its minimum relevance is 0.
        """
        return replace(super().results(request), total_named=self._named.count)

    def _hits(self, count: int) -> list[Hit]:
        return [
            replace(hit, found_by=self._named.places_of(hit.id)) for hit in super()._hits(count)
        ]

    def _count_matches(self, best: Sequence[Hit], minimum: float) -> int | None:
        if not len(self._named.ids):
            return super()._count_matches(best, minimum)
        return super()._count_matches([], minimum)  # the first hits are not the best ones

    def _best(self, count: int) -> tuple[Scores, Ids]:
        if not len(self._named.ids):
            return super()._best(count)
        scores, ids = super()._best(max(count, MAX_SHOWING))
        named_scores, named_ids = self.index.search(
            self.vector, len(self._named.ids), without=self._hidden, among=self._named.ids
        )
        shown = dict(zip(named_ids.tolist(), named_scores.tolist(), strict=True))
        shown.update(zip(ids.tolist(), scores.tolist(), strict=True))
        fused = self._fused(self._matching(scores, ids)[:MAX_SHOWING], named_ids)
        first = sorted(fused, key=lambda number: (-fused[number], -shown[number], number))
        order = [*first, *(number for number in ids.tolist() if number not in fused)][:count]
        return (
            np.array([shown[number] for number in order], dtype=np.float32),
            np.array(order, dtype=np.int64),
        )

    def _fused(self, matching: Ids, named_ids: Ids) -> dict[int, float]:
        """Return the reciprocal ranks of matches and of what is named, added up by image.

        Args:
            matching: The matches, best first.
            named_ids: All named images, in the order of how well they show the text.
        """
        at = np.searchsorted(self._named.ids, named_ids)
        # Among those of equal worth, what shows the text better stays first.
        by_worth = np.argsort(-self._named.worth[at], kind="stable")[:MAX_NAMED]
        fused = {
            number: 1 / (RANK_CONSTANT + rank)
            for rank, number in enumerate(matching.tolist(), start=1)
        }
        shares = self._named.share[at][by_worth].tolist()
        for rank, number in enumerate(named_ids[by_worth].tolist()):
            # What holds little of the text moves matches, and is none itself.
            if number in fused or shares[rank] >= MIN_SHARE:
                counted = shares[rank] / (RANK_CONSTANT + rank + 1)
                fused[number] = fused.get(number, 0.0) + counted
        return fused

    def _matching(self, scores: Scores, ids: Ids) -> Ids:
        """Return the ids, of some in the order of their scores, that are called matches.

        All that a model without an estimate gives are. The others, which say little, come after all
        that is named.
        """
        if self.boundary is None:
            return ids
        return ids[self.boundary.probability(scores) >= LIKELY]

    @cached_property
    def _named(self) -> Named:
        """Those that may be hits."""
        found = named(self.catalog, self.text)
        keep = ~np.isin(found.ids, self._hidden)
        if self.among is not None:
            keep &= np.isin(found.ids, self.among)
        return Named(found.ids[keep], found.worth[keep], found.share[keep], found.places[keep])
