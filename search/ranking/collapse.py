"""Near-duplicates among ranked hits, shown once."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from indexer.store.protocol import StoreReader
from search.duplicates.pair_similarity import THRESHOLD
from search.duplicates.thumbnails import ThumbnailStore
from search.hits import Hit

# Minimum number of hits to look through: near-duplicates of the best ones rank near them.
MIN_DEPTH = 128


def collapse(
    catalog: StoreReader,
    ranked: Callable[[int], Sequence[Hit]],
    *,
    k: int,
    offset: int = 0,
    threshold: float = THRESHOLD,
) -> list[Hit]:
    """Group near-duplicates among ranked hits.

    Going through the hits in order, one that is like the best of an earlier group joins that group,
    and otherwise begins its own, so that further pages continue the same list.

    Args:
        catalog: The collection's catalog.
        ranked: Returns the best hits, as many as it is asked for, or all.
        k: Number of groups.
        offset: Number of groups to skip.
        threshold: Minimum similarity of near-duplicates.

    Returns:
        The best hit of each group, which holds the others.
    """
    wanted = k + offset
    depth = max(MIN_DEPTH, 4 * wanted)
    while True:
        hits = ranked(depth)
        groups = _groups(catalog, hits, wanted, threshold)
        if len(groups) >= wanted or len(hits) < depth:
            break
        depth *= 4
    return [
        replace(first, rank=rank, collapsed=tuple(others))
        for rank, (first, *others) in enumerate(groups[offset:], start=offset + 1)
    ]


def _groups(
    catalog: StoreReader, hits: Sequence[Hit], wanted: int, threshold: float
) -> list[list[Hit]]:
    """Return the first `wanted` groups, each with its best hit first."""
    thumbnails = ThumbnailStore(catalog)
    thumbnails.load(hit.id for hit in hits)
    rest = list(hits)
    groups: list[list[Hit]] = []
    while rest and len(groups) < wanted:
        best, *later = rest
        compared = [hit for hit in later if best.id in thumbnails and hit.id in thumbnails]
        values = thumbnails.similarities([(best.id, hit.id) for hit in compared]).tolist()
        alike = {hit.id for hit, value in zip(compared, values, strict=True) if value >= threshold}
        groups.append([best, *(hit for hit in later if hit.id in alike)])
        rest = [hit for hit in later if hit.id not in alike]
    return groups
