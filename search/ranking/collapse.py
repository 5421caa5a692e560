"""Near-duplicates among ranked hits, shown once."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from indexer.store.protocol import StoreReader
from search.duplicates.thumbnails import THRESHOLD, ThumbnailStore
from search.hits import Hit

# Hits that are looked through at least: near-duplicates of the best ones rank near them.
DEPTH = 128


def collapse(
    catalog: StoreReader,
    ranked: Callable[[int], Sequence[Hit]],
    *,
    k: int,
    offset: int = 0,
    threshold: float = THRESHOLD,
) -> list[Hit]:
    """The k best groups after the first `offset`, each as its best hit, which holds the others.

    ranked: the best hits, as many as it is asked for or all. Going through them in order, a hit
    that is alike an earlier group's best one joins that group and begins a group otherwise, so
    that further pages continue the same list.
    """
    wanted = k + offset
    depth = max(DEPTH, 4 * wanted)
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
    """The first `wanted` groups, best hit first."""
    book = ThumbnailStore(catalog)
    book.load(hit.id for hit in hits)
    rest = list(hits)
    groups: list[list[Hit]] = []
    while rest and len(groups) < wanted:
        best, *later = rest
        compared = [hit for hit in later if best.id in book and hit.id in book]
        values = book.similarities([(best.id, hit.id) for hit in compared]).tolist()
        alike = {hit.id for hit, value in zip(compared, values, strict=True) if value >= threshold}
        groups.append([best, *(hit for hit in later if hit.id in alike)])
        rest = [hit for hit in later if hit.id not in alike]
    return groups
