"""Codes of many vectors that propose the nearest ones, whose exact scores then decide.

Up to some hundred thousand vectors every one of them is scored (`fp16_index`). Above, FAISS sorts
them into lists around centroids and keeps four bits for each two components of a vector, of which
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
# Components that four bits stand for.
COMPONENTS = 2
# Numbers of lists, and of candidates for each wanted vector, from the cheapest to the dearest.
PROBES = (16, 32, 64, 128, 256, 512)
DEPTHS = (10, 30, 60, 100)
# What scoring a vector costs, in comparisons of codes: measured by benchmarks/million.py.
CANDIDATE = 25.0
# Queries that measure what is found, and the neighbours that are looked for.
QUERIES, NEIGHBOURS = 200, 10

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
        index: Any = faiss.index_factory(
            dim, f"IVF{lists},PQ{dim // COMPONENTS}x4fs", faiss.METRIC_INNER_PRODUCT
        )
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

    def propose(self, query: Embeddings, count: int, probes: int) -> Ids:
        """Return the ids `(m,)` of the vectors whose codes are nearest to a query, m <= count."""
        options = faiss.SearchParametersIVF(nprobe=probes)  # type: ignore[call-arg]
        with one_thread():
            _, ids = self._index.search(query[np.newaxis], count, params=options)
        found: Ids = ids[0][ids[0] >= 0]
        return found

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
                return cls(faiss.read_index(readable, faiss.IO_FLAG_MMAP_IFC), trained)
        except (RuntimeError, TypeError) as exc:
            raise OSError(None, str(exc)) from exc

    def best(self, flat: Flat, query: Embeddings, count: int, search: Search) -> tuple[Scores, Ids]:
        """Return the best vectors among the proposed ones, with their exact scores, in no order."""
        proposed = self.propose(query, search.depth * count, search.probes)
        return flat.scores_of(query, np.unique(proposed))


def tune(codes: Codes, flat: Flat, texts: Embeddings, target: float, seed: int = 0) -> Search:
    """Return the cheapest search that finds the wanted share of the ten best vectors.

    Args:
        codes: The codes.
        flat: The vectors.
        texts: Text queries `(n, dim)`; none where the model has no captions.
        target: The share, from 0 to 1.
        seed: Of the image queries: vectors of the collection, each moved towards another.

    Returns:
        The search; the one that finds most where none finds the share.
    """
    kinds = [texts[:QUERIES], _image_queries(flat, seed)]
    truth = [list(_exact(flat, queries)) for queries in kinds]
    tried: list[Search] = []
    for depth in DEPTHS:
        for probes in PROBES:
            recalls = [
                _recall(codes, flat, queries, wanted, Search(probes, depth, 1.0, 1.0))
                for queries, wanted in zip(kinds, truth, strict=True)
            ]
            text, image = recalls if len(texts) else (recalls[1], recalls[1])
            tried.append(Search(probes, depth, text, image))
            if tried[-1].recall >= target:
                break  # more lists take longer
    reached = [one for one in tried if one.recall >= target]
    if not reached:
        return max(tried, key=lambda one: one.recall)
    return min(reached, key=codes.cost)


def _image_queries(flat: Flat, seed: int) -> Embeddings:
    random = np.random.default_rng(seed)
    rows, others = random.integers(flat.size, size=(2, QUERIES))
    return unit(unit(flat.halves[rows]) + np.float32(0.3) * unit(flat.halves[others]))


def _exact(flat: Flat, queries: Embeddings) -> Iterator[set[int]]:
    for query in queries:
        scores, ids = flat.best(query, NEIGHBOURS, None)
        yield set(ids[np.argsort(-scores, kind="stable")].tolist())


def _recall(
    codes: Codes, flat: Flat, queries: Embeddings, truth: Sequence[set[int]], search: Search
) -> float:
    """Return the share of the nearest vectors that are found, all queries together."""
    hits = 0
    for query, wanted in zip(queries, truth, strict=True):
        scores, ids = codes.best(flat, query, NEIGHBOURS, search)
        hits += len(wanted.intersection(ids[np.argsort(-scores)[:NEIGHBOURS]].tolist()))
    return hits / max(NEIGHBOURS * len(queries), 1)
