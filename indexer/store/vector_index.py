"""The FAISS index of a collection: an immutable file, and what came after it.

A file holds all vectors of one fingerprint up to one generation. Readers map it, add what the
catalog has committed since (a small index in memory) and leave out what was removed. A file is
trusted only when the catalog lists it with the size that it has on disk; otherwise everything
comes from the catalog, so a lost, cut or foreign file costs time and nothing else.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import faiss
import numpy as np

from indexer.encoder import Embeddings, unit
from indexer.errors import CollectionFormatError, CollectionStorageError

from .codec import Ids, Scores
from .collection import Collection
from .fp16_index import ROWS, Flat
from .protocol import StoreReader, StoreWriter
from .records import FINGERPRINT, VectorFile

# Rewriting the file costs its whole size; below this many vectors that is nothing, above it the
# file is rewritten when at least a twentieth is new and readers top up in memory until then.
ALWAYS_REWRITE = 20_000
REWRITE_SHARE = 20

# Vectors that pass a filter are gathered and multiplied where they are one in this many or fewer,
# otherwise FAISS passes over the others: measured by benchmarks/filters.py.
GATHER_SHARE = 300
# A query's scores over a larger collection are described by an even sample of this many.
SAMPLE = 4096


@dataclass(frozen=True)
class Spread:
    """A query's scores over `count` vectors: their mean and standard deviation."""

    mean: float
    deviation: float
    count: int


class VectorIndex:
    """Exact inner-product search over the vectors of one fingerprint at one generation."""

    def __init__(self, parts: list[Flat], removed: Iterable[int], generation: int) -> None:
        self.parts = parts
        self.removed = frozenset(removed)
        self.generation = generation

    @classmethod
    def open(
        cls, collection: Collection, catalog: StoreReader, fingerprint: str, dim: int
    ) -> "VectorIndex":
        """Open the vectors of a fingerprint as the catalog has them now."""
        with catalog.snapshot():
            generation = catalog.generation()
            published = latest_file(collection, catalog, fingerprint)
            base = None
            if published is not None:
                base = Flat.map(vector_path(collection, fingerprint, published.generation))
            if base is not None and published and base.size != published.vectors:
                base = None  # not what the catalog says
            since = published.generation if published and base is not None else 0
            parts = [] if base is None else [base]
            recent = _collect(catalog, fingerprint, dim, since)
            if recent is not None:
                parts.append(recent)
            removed = catalog.tombstoned(since=since) if base is not None else []
        return cls(parts, removed, generation)

    def search(
        self,
        query: Embeddings,
        count: int,
        *,
        without: Iterable[int] = (),
        among: Ids | None = None,
    ) -> tuple[Scores, Ids]:
        """Return the best vectors for a query, exactly.

        Args:
            query: `(dim,)`.
            count: How many vectors.
            without: Ids to leave out.
            among: Only these ids; None for all.

        Returns:
            Scores `(m,)`, descending, and ids `(m,)`, m <= count. Equal scores come in the order of
            their ids.
        """
        excluded = np.fromiter(self.removed.union(without), dtype=np.int64)
        if among is not None:
            found = self._among(query, count, np.setdiff1d(among, excluded))
        else:
            # The batch selector refers to the array, so both live until the search is done.
            batch = faiss.IDSelectorBatch(excluded) if excluded.size else None
            selector = None if batch is None else faiss.IDSelectorNot(batch)
            found = [part.best(query, count, selector) for part in self.parts]
        if not found:
            return np.empty(0, np.float32), np.empty(0, np.int64)
        all_scores = np.concatenate([scores for scores, _ in found])
        all_ids = np.concatenate([ids for _, ids in found])
        if len(all_ids) > count:
            kept = all_scores >= np.partition(all_scores, -count)[-count]
            all_scores, all_ids = all_scores[kept], all_ids[kept]
        order = np.lexsort((all_ids, -all_scores))[:count]
        return all_scores[order], all_ids[order]

    def _among(self, query: Embeddings, count: int, among: Ids) -> list[tuple[Scores, Ids]]:
        """Return what each part finds among ids, which are ascending and without duplicates."""
        if not among.size:
            return []
        bits = selector = None
        found = []
        for part in self.parts:
            if len(among) * GATHER_SHARE <= part.size:
                found.append(part.scores_of(query, among))
                continue
            if selector is None:
                mask = np.zeros(int(among[-1]) + 1, dtype=bool)
                mask[among] = True
                bits = np.packbits(mask, bitorder="little")  # referred to, as above
                selector = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]
            found.append(part.best(query, count, selector))
        return found

    def vectors(self) -> Iterator[tuple[Ids, Embeddings]]:
        """Yield (ids `(n,)`, vectors `(n, dim)`) of all that were not removed, in parts."""
        removed = np.fromiter(self.removed, dtype=np.int64)
        for part in self.parts:
            for start in range(0, part.size, ROWS):
                ids = part.ids[start : start + ROWS]
                halves = part.halves[start : start + ROWS]
                if removed.size:
                    kept = ~np.isin(ids, removed)
                    ids, halves = ids[kept], halves[kept]
                yield ids, unit(halves)

    def spread(self, query: Embeddings) -> Spread:
        """Return how the scores of a query `(dim,)` are spread, measured on an even sample."""
        sampled, count = self._sample
        if not len(sampled):
            return Spread(0.0, 0.0, 0)
        scores = sampled @ query
        return Spread(float(scores.mean()), float(scores.std()), count)

    @cached_property
    def _sample(self) -> tuple[Embeddings, int]:
        """At most SAMPLE of the vectors, `(m, dim)`, and how many vectors there are in all."""
        step = max(1, -(-sum(part.size for part in self.parts) // SAMPLE))
        removed = np.fromiter(self.removed, dtype=np.int64)
        sampled = [np.empty((0, 0), np.float32)]
        count = 0
        for part in self.parts:
            kept = np.ones(part.size, dtype=bool)
            if removed.size:
                kept = ~np.isin(part.ids, removed)
            count += int(kept.sum())
            sampled.append(part.halves[::step][kept[::step]].astype(np.float32))
        return np.concatenate(sampled[1:] or sampled), count


def vector_path(collection: Collection, fingerprint: str, generation: int) -> Path:
    """Return the path of a FAISS file; files of another kind have other names.

    Raises:
        CollectionFormatError: It would not lie in the collection.
    """
    if not FINGERPRINT.fullmatch(fingerprint) or collection.vectors.is_symlink():
        raise CollectionFormatError(
            f"{collection.vectors} leads out of the collection, where clipdex writes and removes "
            "nothing: it was not made by clipdex. Index into another folder with --collection"
        )
    return collection.vectors / f"{fingerprint}-{generation:d}.fp16.faiss"


def latest_file(
    collection: Collection, catalog: StoreReader, fingerprint: str
) -> VectorFile | None:
    """Return the newest published file that has the size on disk that it was written with."""
    for file in catalog.vector_files(fingerprint):
        with suppress(OSError):
            if vector_path(collection, fingerprint, file.generation).stat().st_size == file.size:
                return file
    return None


def publish(
    collection: Collection,
    catalog: StoreWriter,
    fingerprint: str,
    dim: int,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the file of the current generation if it is due; only the writer calls this.

    It needs 2 * dim bytes of memory per vector.

    Args:
        collection: The collection.
        catalog: Its catalog.
        fingerprint: Of the vectors.
        dim: Length of the vectors.
        progress: Called with (vectors done, of how many).

    Raises:
        CollectionStorageError: The disk is full; the catalog still holds every vector.
    """
    generation = catalog.generation()
    total = catalog.count_embeddings(fingerprint)
    published = latest_file(collection, catalog, fingerprint)
    if published is not None:
        added = catalog.count_embeddings(fingerprint, since=published.generation)
        behind = added + len(catalog.tombstoned(since=published.generation))
        if behind == 0 or (total > ALWAYS_REWRITE and behind * REWRITE_SHARE < total):
            return
    if total == 0:
        return
    path = vector_path(collection, fingerprint, generation)
    index = _collect(catalog, fingerprint, dim, 0, progress=progress)
    assert index is not None
    temporary = path.with_suffix(".tmp")
    try:
        index.write(temporary)
        size = temporary.stat().st_size
        os.replace(temporary, path)
    except (RuntimeError, OSError) as exc:
        temporary.unlink(missing_ok=True)
        raise CollectionStorageError(
            f"cannot write the vector file {path.name} in {collection.vectors}: disk full? The "
            "catalog holds every vector; free some space and run the same command again"
        ) from exc
    with catalog.transaction():
        catalog.publish_vector_file(fingerprint, VectorFile(generation, total, size))
    remove_vector_files(collection, fingerprint, keep=path)


def erase_vectors(
    collection: Collection, catalog: StoreReader, fingerprint: str, ids: Sequence[int]
) -> None:
    """Overwrite vectors of contents that were removed in the published files.

    A file in which that fails is deleted: the catalog holds the other vectors, and the next index
    run writes it again.
    """
    for file in catalog.vector_files(fingerprint):
        path = vector_path(collection, fingerprint, file.generation)
        with suppress(OSError):
            flat = Flat.map(path)
            if flat is None or not flat.erase(path, ids):
                path.unlink()


def remove_vector_files(
    collection: Collection, fingerprint: str, *, keep: Path | None = None
) -> None:
    """Delete the files of a fingerprint, except `keep`, in any format that clipdex ever wrote."""
    vector_path(collection, fingerprint, 0)  # raises where that would lead elsewhere
    own = re.compile(re.escape(fingerprint) + r"-\d+(\.[0-9a-z]+)*\.(faiss|tmp)")
    for old in collection.vectors.glob(f"{fingerprint}-*"):
        if old != keep and own.fullmatch(old.name):
            with suppress(OSError):  # still mapped by a reader, where the system forbids that
                old.unlink()


def _collect(
    catalog: StoreReader,
    fingerprint: str,
    dim: int,
    since: int,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Flat | None:
    """Return an index in memory of the generations after `since`; None if there are no vectors."""
    total = catalog.count_embeddings(fingerprint, since=since)
    if total == 0:
        return None
    index = Flat.empty(total, dim)
    done = 0
    for numbers, chunk in catalog.halves(fingerprint, since=since):
        index.halves[done : done + len(numbers)] = chunk
        index.ids[done : done + len(numbers)] = numbers
        done += len(numbers)
        if progress is not None:
            progress(done, total)
    return index
