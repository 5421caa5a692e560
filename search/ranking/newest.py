"""The images taken last: what a collection shows before anything is asked."""

import numpy as np

from indexer.store.codec import Ids
from indexer.store.protocol import StoreReader
from search.hits import Hit


def newest(catalog: StoreReader, among: Ids | None, k: int, offset: int) -> list[Hit]:
    """Hits `offset + 1` to `offset + k` of the collection, or of these ids, newest first.

    Their score is 0 and they have no relevance: nothing was asked.
    """
    if among is None:
        ids = catalog.newest(k, offset)
    else:
        every = catalog.newest_first()
        ids = every[np.isin(every, among)][offset : offset + k].tolist()
    contents = catalog.contents(ids)
    hits = [Hit.of(contents[number], 0.0, None) for number in ids if number in contents]
    return [hit.ranked(offset + rank) for rank, hit in enumerate(hits, start=1)]
