"""Near-duplicates: copies that were resized, recompressed, cropped or recolored, and bursts.

A model's vectors say what an image shows, so two photos of one subject may be closer than a photo
and its small gray copy. So they only propose pairs, as do coarse outlines and their signatures,
and each finds what the others miss: outlines survive any size and color, signatures a turn by
quarters and a mirror, vectors a crop. The gray thumbnails, aligned with each other, decide.

A group is a star: its first image (the largest without a wide border, or the best hit) and those
that are like *it*, or like a twin of it, such as the photo of which it is the mirror image.
Likeness is not transitive: connected components would chain through a long burst.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from indexer.store.approximate.neighbour_index import EXACT, NeighbourIndex
from indexer.store.codec import Ids

from .orientations import signatures
from .pair_similarity import THRESHOLD
from .thumbnails import ThumbnailStore

if TYPE_CHECKING:  # the engine stands above
    from search.engine import Engine

# With how many neighbors each image is compared at first, by vector and by outline. If the farther
# half of them holds one that is alike, the number is multiplied by four, and so on.
NEIGHBOURS = 4
MAX_NEIGHBOURS = 4096
# Images less of which is not border come last, since a photo on a phone's screen is no original.
MIN_SHOWN = 0.75
BLOCK = 512
# From this similarity on, an image is as good as the first of its group.
TWIN = 0.995


@dataclass(frozen=True)
class Group:
    """Contents that are like `first`: ids with their similarities in [0, 1], descending."""

    first: int
    members: dict[int, float]


class Stars:
    """Groups that grow image by image, each of which joins a group or becomes the first of one."""

    def __init__(self, thumbnails: ThumbnailStore, threshold: float) -> None:
        self.thumbnails = thumbnails
        self.threshold = threshold
        self.members: dict[int, dict[int, float]] = {}
        self._first_of: dict[int, int] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._first_of

    def add(self, number: int, alike: Mapping[int, float]) -> bool:
        """Add an image to the groups.

        It joins an earlier group if it is like the first image of one that holds any of `alike`, or
        like a twin of that.
        Otherwise it becomes the first of a new group of those in `alike` that are still free.

        Args:
            number: The content's id.
            alike: The ids of contents that are like it, with their similarities.

        Returns:
            Whether it became the first of a group.
        """
        if number in self:
            return False
        firsts = {self._first_of[other] for other in alike if other in self}
        pairs = [(number, first) for first in sorted(firsts)]
        similarities = self.thumbnails.similarities(pairs).tolist()
        best = max(zip(similarities, pairs, strict=True), default=None)
        if best is not None and best[0] >= self.threshold:
            self._join(number, best[1][1], best[0])
            return False
        twins = [(near, other) for other, near in alike.items() if self._is_twin(other)]
        if twins:
            near, other = max(twins)
            # Its own likeness to the first is less: it is no twin, or groups would chain.
            self._join(number, self._first_of[other], min(near, self.threshold))
            return False
        self._first_of[number] = number
        self.members[number] = {}
        for other, similarity in alike.items():
            if other not in self:
                self._join(other, number, similarity)
        return True

    def _is_twin(self, number: int) -> bool:
        first = self._first_of.get(number)
        return first is not None and self.members[first].get(number, 0.0) >= TWIN

    def _join(self, number: int, first: int, similarity: float) -> None:
        self._first_of[number] = first
        self.members[first][number] = similarity

    def group(self, first: int) -> Group:
        """Return the group of a first image as it is now."""
        members = sorted(self.members[first].items(), key=lambda item: (-item[1], item[0]))
        return Group(first, dict(members))


class Neighbours:
    """A search for images like given ones, proposed by indexes and confirmed by thumbnails."""

    def __init__(
        self, engine: "Engine", thumbnails: ThumbnailStore, threshold: float, *, exact: int
    ) -> None:
        """Prepare the search.

        Args:
            engine: The collection.
            thumbnails: Loaded for all images of the collection.
            threshold: The minimum similarity of near-duplicates.
            exact: Up to how many images all pairs are compared.
        """
        self.engine = engine
        self.thumbnails = thumbnails
        self.threshold = threshold
        views = thumbnails.views
        ids = thumbnails.ids[views.owners]
        self._of_views = [
            (vectors, NeighbourIndex.of([(ids, vectors)], exact=exact))
            for vectors in (views.outlines, signatures(views.outlines))
        ]
        self._vectors = NeighbourIndex.of(engine.index.vectors(), exact=exact)

    def of(
        self, numbers: Sequence[int], *, count: int = NEIGHBOURS, farther: bool = True
    ) -> tuple[dict[int, dict[int, float]], list[int]]:
        """Find the contents that are like given ones among their nearest.

        Args:
            numbers: The ids of the given contents.
            count: With how many of the nearest each is compared.
            farther: Continue with more neighbors for the contents whose farther half held one that
                is alike.

        Returns:
            For each content, the ids of those like it with their similarities; and the contents
            for which the search would have to continue.
        """
        found: dict[int, dict[int, float]] = {number: {} for number in numbers}
        rest = list(numbers)
        while True:
            last = self._compare(rest, count, found)
            rest = [number for number, place in last.items() if place >= count // 2]
            if not rest or not farther or count >= MAX_NEIGHBOURS:
                return found, rest
            count *= 4

    def _compare(
        self, numbers: list[int], count: int, found: dict[int, dict[int, float]]
    ) -> dict[int, int]:
        """Fill `found`, and return the place of each content's farthest neighbor that is alike."""
        places: dict[tuple[int, int], int] = {}
        for queried, ids in self._nearest(numbers, count):
            for number, others in zip(queried, ids.tolist(), strict=True):
                for place, other in enumerate(others):
                    if other not in (-1, number):
                        places[number, other] = max(place, places.get((number, other), 0))
        pairs = [
            (number, other)
            for number, other in places
            if other not in found[number] and number in self.thumbnails and other in self.thumbnails
        ]
        for (number, other), similarity in zip(
            pairs, self.thumbnails.similarities(pairs).tolist(), strict=True
        ):
            if similarity >= self.threshold:
                found[number][other] = similarity
        last = dict.fromkeys(numbers, -1)
        for (number, other), place in places.items():
            if other in found[number]:
                last[number] = max(last[number], place)
        return last

    def _nearest(self, numbers: list[int], count: int) -> Iterator[tuple[list[int], Ids]]:
        """Yield contents, some of them several times, with the nearest of each, `(m, count)`."""
        if not numbers:
            return
        # One more, since an image is its own nearest neighbor.
        count += 1
        owners, views = self.thumbnails.views_of(numbers)
        for of_views, index in self._of_views:
            yield owners, index.neighbours(of_views[views], count)
        vectors = self.engine.catalog.embeddings_of(self.engine.model.fingerprint, numbers)
        if len(vectors) == len(numbers):
            queries = np.stack([vectors[number] for number in numbers])
            yield numbers, self._vectors.neighbours(queries, count)


def find_groups(
    engine: "Engine", *, threshold: float = THRESHOLD, exact: int = EXACT
) -> list[Group]:
    """Return all groups of two or more images in a collection, those of larger images first.

    Images without detail, such as a blank page or a clear sky, are like nothing else.

    Args:
        engine: The collection.
        threshold: The minimum similarity of near-duplicates, in [0, 1].
        exact: Up to how many images all pairs are compared; above, those that are likely alike.
    """
    thumbnails = ThumbnailStore(engine.catalog)
    thumbnails.load()
    neighbours = Neighbours(engine, thumbnails, threshold, exact=exact)
    stars = Stars(thumbnails, threshold)
    hidden = thumbnails.views.shares() < MIN_SHOWN
    order = thumbnails.ids[np.argsort(hidden, kind="stable")].tolist()
    for start in range(0, len(order), BLOCK):
        block = [number for number in order[start : start + BLOCK] if number not in stars]
        found, more = neighbours.of(block, farther=False)
        unfinished = set(more)
        for number in block:
            # It may have joined a group in the meantime.
            if number not in stars:
                alike = found[number]
                if number in unfinished:
                    alike = neighbours.of([number], count=4 * NEIGHBOURS)[0][number]
                stars.add(number, alike)
    return [stars.group(first) for first in order if stars.members.get(first)]
