"""The FAISS index of a collection: an immutable file, and what came after it.

A file holds all vectors of one fingerprint up to one generation. Readers map it, add what the
catalog has committed since (a small index in memory) and leave out what was removed. A file is
trusted only when the catalog lists it and its layout and the checksums of its blocks are those that
were written. Otherwise everything comes from the catalog, and the file is written again by whoever
may: a lost, damaged or foreign file costs time and nothing else.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from indexer.encoder import Embeddings, unit
from indexer.notices import say

from . import vector_file
from .approximate.codes import Codes, Search
from .approximate.codes_file import open_codes
from .codec import Ids, Scores
from .collection import Collection
from .fp16_index import ROWS, Flat, Near
from .protocol import StoreReader
from .publish_vectors import collect, write_again
from .vector_file import vector_path

# By codes at most so many candidates are scored, and counted among; and a filter has to let this
# share of the vectors pass: measured by benchmarks/million.py.
MAX_PROPOSED = 20_000
COUNTED = 1024
MIN_SHARE = 0.03

# Vectors that pass a filter are gathered and multiplied where they are one in this many or fewer,
# otherwise FAISS passes over the others: measured by benchmarks/filters.py.
GATHER_SHARE = 300


@dataclass(frozen=True)
class Candidates:
    """What codes propose for a query.

    Attributes:
        near: The nearest of them.
        beyond: About the scores `(n,)` of the others.
    """

    near: Near
    beyond: Scores

    def __len__(self) -> int:
        return len(self.near) + len(self.beyond)

    def count_above(self, minimum: float) -> int:
        """Return about how many of them score `minimum` or more."""
        return len(self.near.above(minimum)) + int((self.beyond >= minimum).sum())


class VectorIndex:
    """Inner-product search over the vectors of one fingerprint at one generation.

    It is exact, unless the file, the first of the parts, has codes that propose vectors.
    """

    def __init__(
        self,
        parts: list[Flat],
        removed: Iterable[int],
        generation: int,
        mapped: tuple[Path, tuple[int, ...] | None] | None = None,
        codes: tuple[Codes, Search] | None = None,
    ) -> None:
        self.parts = parts
        self._codes = codes
        # The last query among all vectors, what was left out, and what was near in each part.
        self._last: tuple[Embeddings, Ids, list[Near | Candidates]] | None = None
        self.removed = np.unique(np.fromiter(removed, dtype=np.int64))
        self.generation = generation
        self._mapped = mapped

    @property
    def is_current(self) -> bool:
        """Whether the file that is mapped has not been touched since it was checked."""
        return self._mapped is None or vector_file.state(self._mapped[0]) == self._mapped[1]

    @classmethod
    def open(
        cls, collection: Collection, catalog: StoreReader, fingerprint: str, dim: int
    ) -> "VectorIndex":
        """Open the vectors of a fingerprint as the catalog has them now.

        A published file that is damaged is written again, where this process may write.

        Raises:
            CollectionFormatError: The catalog itself is damaged.
        """
        opened, damage = cls._open(collection, catalog, fingerprint, dim)
        if damage is not None:
            # It may have been erased from, or replaced, between the catalog's word and the look.
            opened, damage = cls._open(collection, catalog, fingerprint, dim)
        if damage is not None and write_again(collection, fingerprint, dim, damage):
            opened, _ = cls._open(collection, catalog, fingerprint, dim)
        return opened

    def read_catalog(self, catalog: StoreReader, fingerprint: str, dim: int) -> None:
        """Read all vectors from the catalog, since what is in memory differs from it, and say so.

        That happens when a mapped file is written to after it was checked.
        """
        with catalog.snapshot():
            whole = collect(catalog, fingerprint, dim, 0)
            self.generation = catalog.generation()
        self.parts, self.removed = [] if whole is None else [whole], np.empty(0, np.int64)
        self._mapped = self._codes = self._last = None
        say(
            f"the vectors of {fingerprint} in memory differ from those of the catalog: they were "
            "read from it again"
        )

    @classmethod
    def _open(
        cls, collection: Collection, catalog: StoreReader, fingerprint: str, dim: int
    ) -> tuple["VectorIndex", str | None]:
        """Return the index, and what is wrong with the published file."""
        with catalog.snapshot():
            generation = catalog.generation()
            base, mapped, since, damage = None, None, 0, None
            for file in catalog.vector_files(fingerprint)[:1]:
                if file.digests is None:  # of an older clipdex: nothing says whether it is whole
                    continue
                path = vector_path(collection, fingerprint, file.generation)
                mapped = path, vector_file.state(path)
                found = vector_file.fault(path, file.vectors, dim, file.digests)
                if found is None:
                    base = Flat.map(path)
                    since = file.generation if base is not None else 0
                else:
                    damage = f"{path.name} {found}"
            parts = [] if base is None else [base]
            recent = collect(catalog, fingerprint, dim, since)
            if recent is not None:
                parts.append(recent)
            removed = catalog.tombstoned(since=since) if base is not None else []
            codes = open_codes(collection, catalog, fingerprint, since) if since else None
        if base is None:
            mapped = None
        return cls(parts, removed, generation, mapped, codes), damage

    def search(
        self,
        query: Embeddings,
        count: int,
        *,
        without: Iterable[int] = (),
        among: Ids | None = None,
    ) -> tuple[Scores, Ids]:
        """Return the best vectors for a query, with their exact scores.

        Where the file has codes, some of the best may be missing (`recall`).

        Args:
            query: `(dim,)`.
            count: How many vectors.
            without: Ids to leave out.
            among: Only these ids; None for all.

        Returns:
            Scores `(m,)`, descending, and ids `(m,)`, m <= count. Equal scores come in the order of
            their ids.
        """
        excluded = self._left_out(without)
        if (proposed := self._proposed(query, count, excluded, among)) is not None:
            found = proposed
        elif among is not None:
            found = self._among(query, count, without_ids(among, excluded))
        else:
            with self._all_but(excluded) as selector:
                nearest = [part.nearest(query, count, selector) for part in self.parts]
            self._last = query, excluded, [*nearest]
            found = [near.best(count) for near in nearest]
        if not found:
            return np.empty(0, np.float32), np.empty(0, np.int64)
        all_scores = np.concatenate([scores for scores, _ in found])
        all_ids = np.concatenate([ids for _, ids in found])
        if len(all_ids) > count:
            kept = all_scores >= np.partition(all_scores, -count)[-count]
            all_scores, all_ids = all_scores[kept], all_ids[kept]
        order = np.lexsort((all_ids, -all_scores))[:count]
        return all_scores[order], all_ids[order]

    def _proposed(
        self, query: Embeddings, count: int, excluded: Ids, among: Ids | None
    ) -> list[tuple[Scores, Ids]] | None:
        """Return what each part finds where codes propose the file's; None to score all of it.

        The fewer vectors a filter lets pass, the farther away the nearest of them are, and the more
        lists are looked at. Where too few pass, or are found there, all of them are scored.
        """
        if self._codes is None:
            return None
        codes, search = self._codes
        file, *recent = self.parts
        share = 1.0 if among is None else min(len(among) / max(file.size, 1), 1.0)
        asked = search.depth * count
        if share < MIN_SHARE or asked > MAX_PROPOSED:
            return None
        if among is not None:
            rest = without_ids(among, excluded)
            with _only(rest) as selector:
                _, ids = codes.propose(query, asked, ceil(search.probes / sqrt(share)), selector)
            near = file.near(query, ids)
            if len(near) < asked / 2:  # few of the nearest pass
                return None
            return [near.best(count), *(part.scores_of(query, rest) for part in recent)]
        candidates = self._candidates(query, asked, excluded)
        if len(candidates.near) < asked / 2:  # most of the nearest are hidden
            return None
        with self._all_but(excluded) as selector:
            nearest = [part.nearest(query, count, selector) for part in recent]
        self._last = query, excluded, [candidates, *nearest]
        return [near.best(count) for near in (candidates.near, *nearest)]

    @property
    def recall(self) -> float:
        """The share of the ten best vectors that searches found when the codes were made."""
        return 1.0 if self._codes is None else self._codes[1].recall

    def count_above(
        self,
        query: Embeddings,
        minimum: float,
        *,
        without: Iterable[int] = (),
        among: Ids | None = None,
    ) -> int:
        """Return how many vectors score `minimum` or more.

        Where the file has codes and many vectors score that, the number is estimated from a sample.

        Args:
            query: `(dim,)`.
            minimum: The least score.
            without: As of `search`.
            among: As of `search`.
        """
        if among is not None:
            return len(self.above(query, minimum, without=without, among=among))
        excluded = self._left_out(without)
        last = self._last
        known: Sequence[Near | Candidates | None] = [None] * len(self.parts)
        if last and last[0] is query and np.array_equal(last[1], excluded):
            known = last[2]
        total = 0
        with self._all_but(excluded) as selector:
            for number, (part, near) in enumerate(zip(self.parts, known, strict=True)):
                if self._codes is not None and number == 0:
                    total += self._count_proposed(query, minimum, excluded, near)
                elif isinstance(near, Near) and near.has_above(minimum):
                    total += len(near.above(minimum))
                else:
                    total += len(part.above(query, minimum, selector))
        return total

    def _count_proposed(
        self, query: Embeddings, minimum: float, excluded: Ids, known: Near | Candidates | None
    ) -> int:
        """Return about how many vectors of the file score `minimum` or more, by its codes."""
        candidates = (
            known if isinstance(known, Candidates) else self._candidates(query, COUNTED, excluded)
        )
        found = candidates.count_above(minimum)
        if 2 * found > len(candidates):
            found = max(found, self.parts[0].estimate_above(query, minimum))
        return found

    def _candidates(self, query: Embeddings, count: int, excluded: Ids) -> Candidates:
        """Return vectors of the file that codes propose, as many and at least those to count."""
        assert self._codes is not None
        codes, search = self._codes
        scores, ids = codes.propose(query, max(count, COUNTED), search.probes)
        if excluded.size:
            left = ~_held(ids, excluded)
            scores, ids = scores[left], ids[left]
        near = self.parts[0].near(query, ids[:count])
        return Candidates(near, scores[count:])

    def above(
        self,
        query: Embeddings,
        minimum: float,
        *,
        without: Iterable[int] = (),
        among: Ids | None = None,
    ) -> Ids:
        """Return the ids `(m,)` of the vectors that score `minimum` or more, ascending.

        Args:
            query: `(dim,)`.
            minimum: The least score.
            without: As of `search`.
            among: As of `search`.
        """
        if among is not None and len(among) * GATHER_SHARE <= sum(part.size for part in self.parts):
            excluded = self._left_out(without)
            few = without_ids(among, excluded)
            found = [
                ids[scores >= minimum]
                for scores, ids in (part.scores_of(query, few) for part in self.parts)
            ]
        else:
            with self._all_but(without) as selector:
                found = [part.above(query, minimum, selector) for part in self.parts]
        ids = np.sort(np.concatenate([np.empty(0, np.int64), *found]))
        return ids if among is None else np.intersect1d(ids, among)

    def _left_out(self, without: Iterable[int]) -> Ids:
        """Return the ids `(n,)` that were removed and these, ascending and each once."""
        more = np.fromiter(without, dtype=np.int64)
        return np.union1d(self.removed, more) if more.size else self.removed

    @contextmanager
    def _all_but(self, without: Iterable[int]) -> Iterator[Any]:
        """Yield FAISS's selector of all ids but the removed ones and these; None for all ids."""
        excluded = self._left_out(without)
        # The batch selector refers to the array, so both live until the search is done.
        batch = faiss.IDSelectorBatch(excluded) if excluded.size else None
        yield None if batch is None else faiss.IDSelectorNot(batch)

    def count(self, *, among: Ids | None = None, without: Iterable[int] = ()) -> int:
        """Return how many vectors `search` chooses from.

        Args:
            among: As of `search`.
            without: As of `search`.
        """
        excluded = self._left_out(without)
        if among is not None:
            among = without_ids(among, excluded)
            return sum(int(_held(among, part.sorted_ids).sum()) for part in self.parts)
        held = sum(part.size for part in self.parts)
        if not excluded.size:
            return held
        return held - sum(int(_held(excluded, part.sorted_ids).sum()) for part in self.parts)

    def _among(self, query: Embeddings, count: int, among: Ids) -> list[tuple[Scores, Ids]]:
        """Return what each part finds among ids, which are ascending and without duplicates."""
        if not among.size:
            return []
        few = [len(among) * GATHER_SHARE <= part.size for part in self.parts]
        if all(few):
            return [part.scores_of(query, among) for part in self.parts]
        with _only(among) as selector:
            return [
                part.scores_of(query, among) if gather else part.best(query, count, selector)
                for gather, part in zip(few, self.parts, strict=True)
            ]

    def vectors(self) -> Iterator[tuple[Ids, Embeddings]]:
        """Yield (ids `(n,)`, vectors `(n, dim)`) of all that were not removed, in parts."""
        removed = self.removed
        for part in self.parts:
            for start in range(0, part.size, ROWS):
                ids = part.ids[start : start + ROWS]
                halves = part.halves[start : start + ROWS]
                if removed.size:
                    kept = ~np.isin(ids, removed)
                    ids, halves = ids[kept], halves[kept]
                yield ids, unit(halves)

    def earliest(self, count: int) -> Embeddings:
        """Return the `count` vectors, `(m, dim)`, that were added first, by ascending id."""
        removed = self.removed
        ids, vectors = [np.empty(0, np.int64)], []
        for part in self.parts:
            kept = np.flatnonzero(~np.isin(part.ids, removed))
            kept = kept[np.argsort(part.ids[kept], kind="stable")[:count]]
            ids.append(part.ids[kept])
            vectors.append(unit(part.halves[kept]))
        if not vectors:
            return np.empty((0, 0), np.float32)
        first = np.argsort(np.concatenate(ids), kind="stable")[:count]
        return np.concatenate(vectors)[first]


@contextmanager
def _only(among: Ids) -> Iterator[Any]:
    """Yield FAISS's selector of ids, which are ascending."""
    mask = np.zeros(int(among[-1]) + 1 if among.size else 1, dtype=bool)
    mask[among] = True
    # The selector refers to the array, so both live until the search is done.
    bits = np.packbits(mask, bitorder="little")
    yield faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]


def without_ids(ids: Ids, excluded: Ids) -> Ids:
    """Return `ids` less those of `excluded`; both are ascending and each once."""
    if not excluded.size or not ids.size:
        return ids
    return ids[~_held(ids, excluded)]


def _held(ids: Ids, among: Ids) -> NDArray[np.bool_]:
    """Return `(n,)`, whether each of the ids is one of `among`, which are ascending."""
    if not among.size:
        return np.zeros(len(ids), bool)
    places = np.minimum(np.searchsorted(among, ids), len(among) - 1)
    found: NDArray[np.bool_] = among[places] == ids
    return found
