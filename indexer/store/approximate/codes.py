"""Codes of many vectors that propose the nearest ones, whose exact scores then decide.

Up to some hundred thousand vectors every one of them is scored (`fp16_index`). Above, FAISS sorts
them into lists around centroids and keeps four bits for each component of a vector, of which
its processor instructions compare 32 vectors at a time. A query is compared with the codes of the
nearest lists; the best of these, some more than were asked for, are scored with the vectors
themselves. How many lists and how many more: as few as find the wanted share of the ten best
vectors, measured on text and image queries when the codes are made.

Sources: Jegou, Douze & Schmid, Product Quantization for Nearest Neighbor Search, TPAMI 2011 (lists
and codes); Andre, Kermarrec & Le Scouarnec, Cache Locality is not Enough, VLDB 2015 (four bits).
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np

from indexer.encoder import Embeddings, unit
from indexer.store.codec import Ids, Scores
from indexer.store.fp16_index import ROWS, Flat, one_thread

# Lists for n vectors: this times the square root of n, as of the vectors that trained them.
LISTS = 4
# Training: vectors a list, and rounds.
SAMPLES, ROUNDS = 40, 8
# Numbers of lists, and of candidates for each wanted vector, from the cheapest to the dearest.
PROBES = (16, 24, 32, 48, 64, 80, 96, 128, 192, 256, 384, 512)
DEPTHS = (10, 20, 30, 60, 100)
# What scoring a vector costs, in comparisons of codes: measured by benchmarks/million.py.
CANDIDATE = 20.0
# Texts and images that measure what is found, at most, and the neighbours that are looked for. Some
# texts miss many of theirs at once, so that few texts would say little.
TEXTS, IMAGES, NEIGHBOURS = 500, 200, 10
# FAISS's scan of one query that keeps what is good enough, and sorts that at the end: a tenth less
# time than the one that it takes by itself.
SCAN = 11
# Centroids that are looked at for each list, and what the spread of a list's vectors adds to its
# centroid's score: a quarter more or less finds as many.
CENTROIDS, SPREAD = 2, 0.2
# Vectors that say which captions a collection shows.
SHOWN = 50_000

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Search:
    """How codes are searched, and what that finds of the ten best vectors.

    Attributes:
        probes: In how many lists.
        depth: How many candidates are scored exactly for each wanted vector.
        text_recall: The share that text queries find; that of image queries where there are none.
        image_recall: The share that image queries find.
    """

    probes: int
    depth: int
    text_recall: float
    image_recall: float

    @property
    def recall(self) -> float:
        """The lower of both."""
        return min(self.text_recall, self.image_recall)


class Codes:
    """An index of codes whose ids are those of the vectors.

    Attributes:
        trained: How many vectors there were when the lists were made.
    """

    def __init__(self, index: Any, trained: int) -> None:
        self._index = index
        self._index.implem = SCAN
        self.trained = trained

    @property
    def size(self) -> int:
        """How many vectors have codes, those that were removed since among them."""
        count: int = self._index.ntotal
        return count

    @classmethod
    def train(cls, flat: Flat, progress: Progress = lambda done, of: None) -> Self:
        """Return an index without vectors whose lists suit those of `flat`."""
        count, dim = flat.halves.shape
        lists = max(1, round(LISTS * sqrt(count)))
        index: Any = faiss.index_factory(dim, f"IVF{lists},PQ{dim}x4fs", faiss.METRIC_INNER_PRODUCT)
        index.cp.niter, index.cp.max_points_per_centroid = ROUNDS, SAMPLES
        index.cp.min_points_per_centroid = 1  # or FAISS prints that it would like more
        random = np.random.default_rng(0)
        rows = np.sort(random.permutation(count)[: SAMPLES * lists])
        progress(0, count)
        index.train(unit(flat.halves[rows]))
        return cls(index, count)

    def add(self, flat: Flat, rows: Ids, progress: Progress = lambda done, of: None) -> None:
        """Add vectors of `flat` by their rows."""
        for start in range(0, len(rows), ROWS):
            part = rows[start : start + ROWS]
            self._index.add_with_ids(unit(flat.halves[part]), flat.ids[part])
            progress(start + len(part), len(rows))

    @property
    def components(self) -> int:
        """How many components of a vector four bits stand for; an older clipdex made it two."""
        count: int = self._index.pq.dsub
        return count

    def propose(
        self, query: Embeddings, count: int, probes: int, selector: Any = None
    ) -> tuple[Scores, Ids]:
        """Return the vectors whose codes are nearest to a query.

        Args:
            query: `(dim,)`.
            count: How many vectors.
            probes: In how many lists.
            selector: FAISS's selector of ids; None to accept all.

        Returns:
            About their scores, `(m,)`, descending, and their ids `(m,)`, m <= count.
        """
        query = np.ascontiguousarray(query, dtype=np.float32)
        lists, scores = self._lists(query, probes)
        options = faiss.SearchParametersIVF(nprobe=len(lists), sel=selector)  # type: ignore[call-arg]
        near, ids = np.empty(count, np.float32), np.empty(count, np.int64)
        given = (faiss.swig_ptr(one) for one in (lists, scores, near, ids))
        with one_thread():
            # FAISS's own wrapper of this takes no options.
            self._index.search_preassigned_c(
                1, faiss.swig_ptr(query), count, *given, False, options
            )
        found = ids >= 0
        return near[found], ids[found]

    def _lists(self, query: Embeddings, probes: int) -> tuple[Ids, Scores]:
        """Return the numbers of the lists to look at, and their centroids' scores, each `(m,)`.

        A list is as near as its centroid, and nearer the wider its vectors are spread: the best of
        all vectors lie at the edges of their lists.
        """
        of: int = self._index.nlist
        with one_thread():
            found, numbers = self._index.quantizer.search(
                query[np.newaxis], min(CENTROIDS * probes, of)
            )
        scores, lists = found[0], numbers[0]
        if len(lists) > probes:
            nearness = scores + SPREAD * self._spreads[lists]
            nearest = np.argpartition(-nearness, probes)[:probes]
            scores, lists = scores[nearest], lists[nearest]
        return lists, scores

    @cached_property
    def _spreads(self) -> Scores:
        """How far the vectors of each list are from its centroid, their mean: `(lists,)`."""
        centroids = self._index.quantizer.reconstruct_n(0, self._index.nlist)
        spreads: Scores = np.sqrt(np.maximum(1 - np.einsum("nd,nd->n", centroids, centroids), 0))
        return spreads

    def cost(self, search: Search) -> float:
        """Return about how long a search takes, in comparisons of codes.

        It is not measured: the machine may be busy with other things while codes are made.
        """
        lists: float = min(search.probes / self._index.nlist, 1.0)
        return lists * self.size + CANDIDATE * search.depth * NEIGHBOURS

    def write(self, path: Path) -> None:
        """Write the index.

        Raises:
            OSError: The file cannot be written.
        """
        with open(path, "wb") as file:
            file.write(faiss.serialize_index(self._index).data)
            file.flush()
            os.fsync(file.fileno())

    @classmethod
    def read(cls, path: Path, trained: int) -> Self:
        """Read an index from a file that was checked.

        Raises:
            OSError: It cannot be read.
        """
        try:
            with open(path, "rb") as file:
                name = f"/proc/self/fd/{file.fileno()}"
                readable = name if os.path.exists(name) else str(path)
                # FAISS copies lists in any case: four times as fast from a file as from a map.
                return cls(faiss.read_index(readable), trained)
        except (RuntimeError, TypeError) as exc:
            raise OSError(None, str(exc)) from exc

    def best(self, flat: Flat, query: Embeddings, count: int, search: Search) -> tuple[Scores, Ids]:
        """Return the best vectors among the proposed ones, with their exact scores, in no order."""
        _, ids = self.propose(query, search.depth * count, search.probes)
        return flat.near(query, ids).best(count)


def tune(codes: Codes, flat: Flat, texts: Embeddings, target: float, seed: int = 0) -> Search:
    """Return the cheapest search that finds the wanted share of the ten best vectors.

    Args:
        codes: The codes.
        flat: The vectors.
        texts: Text queries `(n, dim)`, of which those count that the vectors are nearer to; none
            where the model has no captions.
        target: The share, from 0 to 1.
        seed: Of the image queries: vectors of the collection, each moved towards another.

    Returns:
        The search; the one that finds most where none finds the share. A share counts as found when
        the mean of the queries less its standard error reaches it.
    """
    kinds = [_shown(flat, texts), _image_queries(flat, seed)]
    truth = [list(_exact(flat, queries)) for queries in kinds]
    tried: list[Search] = []
    reached: list[Search] = []
    for depth in DEPTHS:
        for probes in PROBES:
            search = Search(probes, depth, 1.0, 1.0)
            found = [
                _shares_found(codes, flat, queries, wanted, search)
                for queries, wanted in zip(kinds, truth, strict=True)
                if len(queries)
            ]
            text, image = found[0], found[-1]
            tried.append(Search(probes, depth, float(text.mean()), float(image.mean())))
            if min(map(_surely, found)) >= target:
                reached.append(tried[-1])
                break  # more lists take longer
    if not reached:
        return max(tried, key=lambda one: one.recall)
    return min(reached, key=codes.cost)


def _surely(shares: Scores) -> float:
    """Return the mean less its standard error, which other queries find more often than not."""
    return float(shares.mean() - shares.std() / sqrt(len(shares)))


def _shown(flat: Flat, texts: Embeddings) -> Embeddings:
    """Return texts of which the collection has images, more likely than of the others.

    The ten best images of what it does not show are ten of many that are all as far away: to find
    just those takes most of the lists, and nobody looks for them.
    """
    if len(texts) <= TEXTS:
        return texts
    best = np.full(len(texts), -1.0, dtype=np.float32)
    rows = np.linspace(0, flat.size - 1, min(SHOWN, flat.size)).astype(np.int64)
    for start in range(0, len(rows), ROWS):
        scores = texts @ unit(flat.halves[rows[start : start + ROWS]]).T
        np.maximum(best, scores.max(axis=1), out=best)
    return texts[np.argsort(-best, kind="stable")[:TEXTS]]


def _image_queries(flat: Flat, seed: int) -> Embeddings:
    random = np.random.default_rng(seed)
    rows, others = random.integers(flat.size, size=(2, IMAGES))
    return unit(unit(flat.halves[rows]) + np.float32(0.3) * unit(flat.halves[others]))


def _exact(flat: Flat, queries: Embeddings) -> Iterator[set[int]]:
    for query in queries:
        _, ids = flat.best(query, NEIGHBOURS, None)
        yield set(ids.tolist())


def _shares_found(
    codes: Codes, flat: Flat, queries: Embeddings, truth: Sequence[set[int]], search: Search
) -> Scores:
    """Return which share of its nearest vectors each query finds."""
    shares = np.empty(len(queries), dtype=np.float32)
    for number, (query, wanted) in enumerate(zip(queries, truth, strict=True)):
        _, ids = codes.best(flat, query, NEIGHBOURS, search)
        shares[number] = len(wanted.intersection(ids.tolist())) / NEIGHBOURS
    return shares
