"""Near-duplicates: copies that were resized, recompressed, cropped or re-coloured, and bursts.

A model's vectors say what a picture shows, so two photos of one subject may be closer than a photo
and its small grey copy. They only propose pairs, and so do coarse outlines, each what the other
misses: outlines survive any size and colour, vectors survive a crop. The sketches, laid over each
other, decide.

A group is a star: its first picture (the largest, or the best hit) and those that are alike *it*.
Alike is not transitive, and the components of its graph would chain through a long burst.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from indexer.encoder import Embeddings, unit
from indexer.sketch import SIDE, Sketches, sketches
from indexer.vectors import Ids, VectorIndex

from .alignment import blurred, correlations
from .engine import Engine

# Chosen on Caltech-101's training photos by benchmarks/duplicates.py.
THRESHOLD = 0.92
# Neighbours that each picture is compared with at first, by vector and by outline; where one of
# them is alike, four times as many, and so on while the farther half still finds some.
NEIGHBOURS = 4
MOST_NEIGHBOURS = 4096
# Outlines less alike than this are no near-duplicates, whatever proposed them.
LEAST_OUTLINE = 0.4
# Pictures whose neighbours are looked up at once.
BLOCK = 512

Similarities = dict[tuple[int, int], float]


@dataclass(frozen=True)
class Group:
    """Contents that are alike `first`, each with its similarity in [0, 1], falling."""

    first: int
    members: dict[int, float] = field(default_factory=dict)


class Finder:
    """Near-duplicates among the pictures of a collection, as it is now.

    Takes 1.3 KB of memory a picture. threshold: the least similarity, a correlation in [0, 1].
    """

    def __init__(self, engine: Engine, *, threshold: float = THRESHOLD) -> None:
        self.engine = engine
        self.threshold = threshold
        self.ids, self.sketches = sketches(engine.catalogue)
        self._rows = {number: row for row, number in enumerate(self.ids.tolist())}
        self.outlines = outlines(self.sketches)
        self._outline_index = VectorIndex.of(self.ids, self.outlines)

    def groups(self) -> Iterator[Group]:
        """All groups of two or more, larger pictures first."""
        alike = self._pairs()
        catalogue = self.engine.catalogue
        for component in components(alike):
            contents = catalogue.contents(component)
            order = sorted(component, key=lambda n: (-contents[n].width * contents[n].height, n))
            yield from (group for group in self._stars(order) if group.members)

    def alike(self, numbers: Sequence[int]) -> dict[int, dict[int, float]]:
        """For each of these contents, all that are alike it, with their similarities."""
        found: dict[int, dict[int, float]] = {number: {} for number in numbers}
        open_ones = [number for number in numbers if number in self._rows]
        count = NEIGHBOURS
        while open_ones:
            deeper = []
            for start in range(0, len(open_ones), BLOCK):
                block = open_ones[start : start + BLOCK]
                for number, last in self._look(block, count, found).items():
                    if last >= count // 2 and count < min(MOST_NEIGHBOURS, len(self.ids)):
                        deeper.append(number)
            open_ones, count = deeper, 4 * count
        return found

    def _look(
        self, block: list[int], count: int, found: dict[int, dict[int, float]]
    ) -> dict[int, int]:
        """Compare with the `count` nearest; returns how far down the last that was alike stood."""
        rows = [self._rows[number] for number in block]
        vectors = self.engine.catalogue.embeddings_of(self.engine.model.fingerprint, block)
        lists = [self._outline_index.neighbours(self.outlines[rows], count + 1)[1]]
        if len(vectors) == len(block):
            queries = np.stack([vectors[number] for number in block])
            lists.append(self.engine.index.neighbours(queries, count + 1)[1])
        ranked = [
            (number, other, place)
            for ids in lists
            for number, others in zip(block, ids.tolist(), strict=True)
            for place, other in enumerate(others)
            if other != number and other in self._rows
        ]
        pairs = list({(a, b) for a, b, _ in ranked if b not in found[a]})
        for (number, other), similarity in zip(pairs, self.similarities(pairs), strict=True):
            if similarity >= self.threshold:
                found[number][other] = float(similarity)
        last = dict.fromkeys(block, -1)
        for number, other, place in ranked:
            if other in found[number]:
                last[number] = max(last[number], place)
        return last

    def similarities(self, pairs: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
        """`(n,)`: how alike the two contents of each pair are, 0 to 1, whichever comes first."""
        result = np.zeros(len(pairs), np.float32)
        if not pairs:
            return result
        rows = np.array([sorted((self._rows[a], self._rows[b])) for a, b in pairs])
        close = (self.outlines[rows[:, 0]] * self.outlines[rows[:, 1]]).sum(axis=1) >= LEAST_OUTLINE
        likely = rows[close]
        result[close] = correlations(self.sketches[likely[:, 1]], self.sketches[likely[:, 0]])
        return result

    def _pairs(self) -> set[tuple[int, int]]:
        return {
            (min(a, b), max(a, b))
            for start in range(0, len(self.ids), BLOCK)
            for a, others in self.alike(self.ids[start : start + BLOCK].tolist()).items()
            for b in others
        }

    def _stars(self, order: list[int]) -> Iterator[Group]:
        """Of contents in order, groups whose first has every other compared with it."""
        rest = order
        while rest:
            first, *others = rest
            values = self.similarities([(first, other) for other in others]).tolist()
            members = {
                other: value
                for other, value in zip(others, values, strict=True)
                if value >= self.threshold
            }
            yield Group(first, dict(sorted(members.items(), key=lambda item: (-item[1], item[0]))))
            rest = [other for other in others if other not in members]


def outlines(pictures: Sketches) -> Embeddings:
    """`(n, 64)` unit vectors: 8 x 8 of the picture without its slowest shading."""
    parts = []
    for start in range(0, len(pictures), BLOCK):
        values = pictures[start : start + BLOCK].astype(np.float32)
        values = blurred(values, 1.0) - blurred(values, SIDE / 4)
        small = values.reshape(len(values), 8, SIDE // 8, 8, SIDE // 8).mean(axis=(2, 4))
        flat = small.reshape(len(values), -1)
        parts.append(unit(flat - flat.mean(axis=1, keepdims=True)))
    return np.concatenate(parts) if parts else np.empty((0, 64), np.float32)


def components(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The connected components of a graph, in the order of their smallest number."""
    parent: dict[int, int] = {}

    def root(number: int) -> int:
        parent.setdefault(number, number)
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    for a, b in pairs:
        a, b = root(a), root(b)
        parent[max(a, b)] = min(a, b)
    found: dict[int, list[int]] = {}
    for number in sorted(parent):
        found.setdefault(root(number), []).append(number)
    return list(found.values())
