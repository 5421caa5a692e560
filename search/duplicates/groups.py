"""Near-duplicates: copies that were resized, recompressed, cropped or re-coloured, and bursts.

A model's vectors say what an image shows, so two photos of one subject may be closer than a photo
and its small grey copy. They only propose pairs, and so do coarse outlines, each what the other
misses: outlines survive any size and colour, vectors survive a crop. The gray thumbnails, aligned
with each other, decide.

A group is a star: its first image (the largest, or the best hit) and those that are alike *it*.
Alike is not transitive: the connected components of its graph chain through a long burst.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from indexer.store.codec import Ids
from indexer.store.vector_index import VectorIndex

from .thumbnails import BLOCK, THRESHOLD, ThumbnailStore

if TYPE_CHECKING:  # the engine stands above
    from search.engine import Engine

# Neighbours that each image is compared with at first, by vector and by outline; where the
# farther half of them holds one that is alike, four times as many, and so on.
NEIGHBOURS = 4
MAX_NEIGHBOURS = 4096


@dataclass(frozen=True)
class Group:
    """Contents that are alike `first`: ids with their similarities in [0, 1], descending."""

    first: int
    members: dict[int, float]


class Stars:
    """Groups as they grow, image by image, each in turn a member or the first of its own."""

    def __init__(self, book: ThumbnailStore, threshold: float) -> None:
        self.book = book
        self.threshold = threshold
        self.members: dict[int, dict[int, float]] = {}
        self._first_of: dict[int, int] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._first_of

    def add(self, number: int, alike: Mapping[int, float]) -> bool:
        """Whether `number` became the first of a group, taking those alike that are still free.

        It joins an earlier group instead where it is alike the first of one that holds any of
        `alike`.
        """
        if number in self:
            return False
        firsts = {self._first_of[other] for other in alike if other in self}
        pairs = [(number, first) for first in sorted(firsts)]
        best = max(zip(self.book.similarities(pairs).tolist(), pairs, strict=True), default=None)
        if best is not None and best[0] >= self.threshold:
            self._join(number, best[1][1], best[0])
            return False
        self._first_of[number] = number
        self.members[number] = {}
        for other, similarity in alike.items():
            if other not in self:
                self._join(other, number, similarity)
        return True

    def _join(self, number: int, first: int, similarity: float) -> None:
        self._first_of[number] = first
        self.members[first][number] = similarity

    def group(self, first: int) -> Group:
        """The group of this first image, as it is now."""
        members = sorted(self.members[first].items(), key=lambda item: (-item[1], item[0]))
        return Group(first, dict(members))


class Neighbours:
    """Images like given ones: proposed by nearness in some indexes, confirmed by thumbnails.

    book: loaded for all images of the collection, or else filled as they come up.
    """

    def __init__(
        self, engine: "Engine", book: ThumbnailStore, threshold: float, *, by_outline: bool
    ) -> None:
        self.engine = engine
        self.book = book
        self.threshold = threshold
        self._outlines = VectorIndex.of(book.ids, book.outlines) if by_outline else None

    def of(
        self, numbers: Sequence[int], *, count: int = NEIGHBOURS, farther: bool = True
    ) -> tuple[dict[int, dict[int, float]], list[int]]:
        """For each of these contents those alike among its `count` nearest, with similarities; and
        the contents for which the farther half of them still held one.

        farther: go on for those, so that none remain.
        """
        found: dict[int, dict[int, float]] = {number: {} for number in numbers}
        rest = list(numbers)
        while True:
            last = self._look(rest, count, found)
            rest = [number for number, place in last.items() if place >= count // 2]
            if not rest or not farther or count >= MAX_NEIGHBOURS:
                return found, rest
            count *= 4

    def _look(
        self, numbers: list[int], count: int, found: dict[int, dict[int, float]]
    ) -> dict[int, int]:
        """Fill `found`; returns the place in its list of the farthest that is alike."""
        places: dict[tuple[int, int], int] = {}
        for ids in self._nearest(numbers, count):
            for number, others in zip(numbers, ids.tolist(), strict=True):
                for place, other in enumerate(others):
                    if other not in (-1, number):
                        places[number, other] = max(place, places.get((number, other), 0))
        self.book.load([*numbers, *(other for _, other in places)])
        pairs = [
            (number, other)
            for number, other in places
            if other not in found[number] and number in self.book and other in self.book
        ]
        for (number, other), similarity in zip(
            pairs, self.book.similarities(pairs).tolist(), strict=True
        ):
            if similarity >= self.threshold:
                found[number][other] = similarity
        last = dict.fromkeys(numbers, -1)
        for (number, other), place in places.items():
            if other in found[number]:
                last[number] = max(last[number], place)
        return last

    def _nearest(self, numbers: list[int], count: int) -> Iterator[Ids]:
        if not numbers:
            return
        # One more, since an image is its own nearest.
        if self._outlines is not None:
            yield self._outlines.neighbours(self.book.outlines_of(numbers), count + 1)[1]
        vectors = self.engine.catalog.embeddings_of(self.engine.model.fingerprint, numbers)
        if len(vectors) == len(numbers):
            queries = np.stack([vectors[number] for number in numbers])
            yield self.engine.index.neighbours(queries, count + 1)[1]


def find_groups(engine: "Engine", *, threshold: float = THRESHOLD) -> list[Group]:
    """All groups of two or more among a collection's images, those of larger images first.

    Images without detail (a blank page, a clear sky) are alike nothing.
    """
    book = ThumbnailStore(engine.catalog)
    book.load()
    neighbours = Neighbours(engine, book, threshold, by_outline=True)
    stars = Stars(book, threshold)
    order = book.ids.tolist()
    for start in range(0, len(order), BLOCK):
        block = [number for number in order[start : start + BLOCK] if number not in stars]
        found, more = neighbours.of(block, farther=False)
        unfinished = set(more)
        for number in block:
            # By now perhaps a member of a group whose first has found it.
            if number not in stars:
                alike = found[number]
                if number in unfinished:
                    alike = neighbours.of([number], count=4 * NEIGHBOURS)[0][number]
                stars.add(number, alike)
    return [stars.group(first) for first in order if stars.members.get(first)]
