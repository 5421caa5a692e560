"""The published file of codes: made after its vector file, checked before it is believed.

Whoever writes a collection makes it, since that takes minutes; readers go without where it is
missing, damaged or of another generation than the vector file, and score every vector instead.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from weakref import WeakValueDictionary

import numpy as np

from indexer.encoder import Embeddings
from indexer.notices import say
from indexer.store import vector_file
from indexer.store.collection import Collection
from indexer.store.fp16_index import Flat
from indexer.store.protocol import StoreReader, StoreWriter
from indexer.store.records import CodesFile, IndexOptions, VectorFile
from indexer.store.vector_file import codes_path, vector_path

from .codes import Codes, Search, tune

# From this many vectors on codes are worth their making: measured by benchmarks/million.py.
APPROXIMATE_FROM = 200_000
# Fewer do not train lists.
LEAST = 1_000
# The lists are made anew once there are this many times as many vectors as when they were made.
GROWTH = 2

_reading = Lock()
_read_before: WeakValueDictionary[tuple[Path, tuple[int, ...] | None, bytes], Codes] = (
    WeakValueDictionary()
)

Progress = Callable[[int, int], None]


def wants_codes(options: IndexOptions, vectors: int) -> bool:
    """Return whether so many vectors are to be searched by codes."""
    if options.kind == "auto":
        return vectors >= APPROXIMATE_FROM
    return options.kind == "approximate" and vectors >= LEAST


def open_codes(
    collection: Collection, catalog: StoreReader, fingerprint: str, generation: int
) -> tuple[Codes, Search] | None:
    """Return the codes of a vector file and how they are searched; None to score every vector.

    Args:
        collection: The collection.
        catalog: Its catalog.
        fingerprint: Of the vectors.
        generation: Of the vector file.
    """
    file = catalog.codes_file(fingerprint)
    if file is None or file.generation != generation:
        return None
    path = codes_path(collection, fingerprint, file.generation)
    with _reading:  # engines of one process share them
        key = path, vector_file.state(path), file.digests
        codes = _read_before.get(key) or _read(path, file)
        if codes is None:
            return None
        _read_before[key] = codes
    return codes, Search(file.probes, file.depth, file.text_recall, file.image_recall)


def _read(path: Path, file: CodesFile) -> Codes | None:
    found = vector_file.damage(path, file.size, file.digests)
    if found is None:
        with suppress(OSError):
            return Codes.read(path, file.trained)
        found = "cannot be read by this FAISS"
    say(
        f"the codes {path.name} {found}: every vector is scored instead, which takes longer. The "
        "next `clipdex index` makes them again"
    )
    return None


def publish_codes(
    collection: Collection,
    catalog: StoreWriter,
    fingerprint: str,
    file: VectorFile | None,
    texts: Embeddings,
    progress: Progress = lambda done, of: None,
) -> None:
    """Make the codes of the published vector file if they are due; only the writer calls this.

    Codes of the former file are kept, and those of new vectors added, until there are twice as many
    vectors as when the lists were made.

    Args:
        collection: The collection.
        catalog: Its catalog.
        fingerprint: Of the vectors.
        file: The published vector file; None where there is none.
        texts: Text queries `(n, dim)` that measure what is found.
        progress: Called with (vectors done, of how many).

    Raises:
        OSError: The disk is full; every vector is scored as before.
    """
    options, known = catalog.index_options(), catalog.codes_file(fingerprint)
    if file is None or not wants_codes(options, file.vectors):
        if known is not None:
            with catalog.transaction():
                catalog.publish_codes_file(fingerprint, None)
            remove_codes(collection, fingerprint)
        return
    if known is not None and known.generation == file.generation and _reaches(known, options):
        path = codes_path(collection, fingerprint, known.generation)
        if vector_file.damage(path, known.size, known.digests) is None:
            return
    flat = Flat.map(vector_path(collection, fingerprint, file.generation))
    if flat is None:
        return
    former = None
    if known is not None:
        former = _read(codes_path(collection, fingerprint, known.generation), known)
    if (
        known is not None
        and former is not None
        and former.components == 1
        and file.vectors < GROWTH * known.trained
    ):
        codes = former
        new = [ids for ids, _ in catalog.halves(fingerprint, since=known.generation)]
        added = np.concatenate([np.empty(0, np.int64), *new])
        rows = np.flatnonzero(np.isin(flat.ids, added))
    else:
        codes, rows = Codes.train(flat, progress), np.arange(flat.size)
    codes.add(flat, rows, progress)
    search = tune(codes, flat, texts, options.recall)
    path = codes_path(collection, fingerprint, file.generation)
    temporary = path.with_suffix(".tmp")
    try:
        codes.write(temporary)
        size, digests = temporary.stat().st_size, vector_file.digests_of(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    made = CodesFile(
        file.generation, codes.size, codes.trained, size, digests,
        search.probes, search.depth, search.text_recall, search.image_recall,
    )  # fmt: skip
    with catalog.transaction():
        catalog.publish_codes_file(fingerprint, made)
    remove_codes(collection, fingerprint, keep=file.generation)
    if search.recall < options.recall:
        say(
            f"the codes find {search.recall:.1%} of the ten best images, and {options.recall:.1%} "
            "are wanted: `clipdex index --index exact` scores every vector"
        )


def _reaches(known: CodesFile, options: IndexOptions) -> bool:
    """Return whether codes were made for what is wanted now."""
    return min(known.text_recall, known.image_recall) >= options.recall


def remove_codes(collection: Collection, fingerprint: str, *, keep: int | None = None) -> None:
    """Delete the files of codes of a fingerprint, but that of the generation `keep`."""
    kept = None if keep is None else codes_path(collection, fingerprint, keep).name
    for old in collection.vectors.glob(f"{fingerprint}-*.codes.*"):
        if old.name != kept:
            with suppress(OSError):  # still mapped by a reader, where the system forbids that
                old.unlink()
