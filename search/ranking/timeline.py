"""Counts images by month, as they stand in the newest-first order."""

from dataclasses import dataclass

import numpy as np

from indexer.store.codec import Ids
from indexer.store.protocol import StoreReader


@dataclass(frozen=True)
class Month:
    """A month in which images were taken.

    Args:
        month: Such as "2024-07".
        days: How many images are of each of its days, from the first to the last with an image.
    """

    month: str
    days: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many images are of it."""
        return sum(self.days)


def timeline(catalog: StoreReader, among: Ids | None, without: Ids) -> list[Month]:
    """Return the months with images, newest first; one after the other they are `newest`'s order.

    Args:
        catalog: The collection's catalog.
        among: Only these content ids; None for all.
        without: None of these content ids.
    """
    ids, seconds = catalog.dated()
    if among is not None:
        seconds = seconds[np.isin(ids, np.setdiff1d(among, without))]
    elif without.size:
        seconds = seconds[~np.isin(ids, without)]
    days, counts = np.unique(seconds.astype("M8[s]").astype("M8[D]"), return_counts=True)
    months = days.astype("M8[M]")
    of_month = (days - months.astype("M8[D]")).astype(np.int64)
    found: dict[str, list[int]] = {}
    for month, day, count in zip(months.astype(str), of_month, counts.tolist(), strict=True):
        listed = found.setdefault(str(month), [])
        listed.extend([0] * (int(day) - len(listed)))
        listed.append(count)
    return [Month(month, tuple(listed)) for month, listed in reversed(found.items())]
