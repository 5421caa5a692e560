"""The images taken last: what a collection shows before anything is asked."""

import numpy as np

from indexer.store.catalog import Catalog
from indexer.store.codec import Ids
from search.hits import Hit

# By when they were taken where they say so, else by their oldest file.
ORDER = (
    "SELECT contents.id FROM contents JOIN files ON files.content = contents.id "
    "GROUP BY contents.id "
    "ORDER BY coalesce(taken_at, min(files.mtime_ns) / 1000000000) DESC, contents.id DESC"
)


def newest(catalog: Catalog, among: Ids | None, k: int, offset: int) -> list[Hit]:
    """Hits `offset + 1` to `offset + k` of the collection, or of these ids, newest first.

    Their score is 0 and they have no relevance: nothing was asked.
    """
    if among is None:
        rows = catalog.connection.execute(f"{ORDER} LIMIT ? OFFSET ?", (k, offset))
        ids = [row[0] for row in rows]
    else:
        every = np.fromiter((row[0] for row in catalog.connection.execute(ORDER)), dtype=np.int64)
        ids = every[np.isin(every, among)][offset : offset + k].tolist()
    contents = catalog.contents(ids)
    hits = [Hit.of(contents[number], 0.0, None) for number in ids if number in contents]
    return [hit.ranked(offset + rank) for rank, hit in enumerate(hits, start=1)]
