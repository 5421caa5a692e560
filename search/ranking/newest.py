"""Lists the newest images, which a collection shows before there is a query."""

import numpy as np

from indexer.store.codec import Ids
from indexer.store.protocol import StoreReader
from indexer.store.records import MAX_INTEGER
from search.hits import Hit


def newest(
    catalog: StoreReader,
    among: Ids | None,
    k: int,
    offset: int,
    *,
    without: Ids,
    collapsed: bool = False,
) -> list[Hit]:
    """Return the hits `offset + 1` to `offset + k`, newest first.

    Their score is 0 and they have no relevance, since there is no query.

    Args:
        catalog: The collection's catalog.
        among: Only these content ids; None for all.
        k: How many hits.
        offset: How many to skip.
        without: None of these content ids.
        collapsed: Show near-duplicates as one hit; k and offset then count groups.
    """
    if collapsed:
        from .collapse import collapse

        def ranked(count: int) -> list[Hit]:
            return newest(catalog, among, count, 0, without=without)

        return collapse(catalog, ranked, k=k, offset=offset)
    if among is not None:
        every = catalog.newest_first()
        among = np.setdiff1d(among, without)
        ids = every[np.isin(every, among)][offset : offset + k].tolist()
    elif without.size:
        first = min(offset + k + without.size, MAX_INTEGER)
        some = np.array(catalog.newest(first, 0), dtype=np.int64)
        ids = some[~np.isin(some, without)][offset : offset + k].tolist()
    else:
        ids = catalog.newest(min(k, MAX_INTEGER), min(offset, MAX_INTEGER))
    contents = catalog.contents(ids)
    hits = [Hit.of(contents[number], 0.0, None) for number in ids if number in contents]
    return [hit.ranked(offset + rank) for rank, hit in enumerate(hits, start=1)]
