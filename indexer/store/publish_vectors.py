"""The file of a collection's vectors: written, trusted, written again, erased from and deleted.

The catalog holds every vector and says which file is complete; a file is what can be searched
without reading all of that.
"""

import errno
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from indexer.errors import CollectionLocked, CollectionStorageError
from indexer.notices import say

from . import vector_file
from .approximate.codes_file import remove_codes
from .codec import damaged_row
from .collection import Collection
from .fp16_index import Flat
from .protocol import StoreReader, StoreWriter
from .records import Model, VectorFile
from .vector_file import vector_path

# Rewriting the file costs its whole size; below this many vectors that is nothing, above it the
# file is rewritten when at least a twentieth is new and readers top up in memory until then.
ALWAYS_REWRITE = 20_000
REWRITE_SHARE = 20


def published_file(
    collection: Collection, catalog: StoreReader, fingerprint: str, dim: int
) -> tuple[VectorFile | None, str | None]:
    """Return the newest published file if it is whole, else what is wrong with it.

    A file of an older clipdex, which cannot be checked, is neither.
    """
    for file in catalog.vector_files(fingerprint)[:1]:
        if file.digests is not None:
            path = vector_path(collection, fingerprint, file.generation)
            found = vector_file.fault(path, file.vectors, dim, file.digests)
            return (file, None) if found is None else (None, f"{path.name} {found}")
    return None, None


def write_again(collection: Collection, fingerprint: str, dim: int, damage: str) -> bool:
    """Write the file of a fingerprint again for a reader, and say so; return whether it was."""
    from .catalog import writing

    place = collection.vectors
    try:
        with writing(collection, "repair") as catalog:
            publish(collection, catalog, fingerprint, dim)
    except (CollectionLocked, CollectionStorageError):
        say(
            f"the vector file {damage}. It cannot be written in {place} now: answers come from the "
            "catalog, which holds every vector, and take longer"
        )
        return False
    return True


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
    published, damage = published_file(collection, catalog, fingerprint, dim)
    if published is not None:
        added = catalog.count_embeddings(fingerprint, since=published.generation)
        behind = added + len(catalog.tombstoned(since=published.generation))
        if behind == 0 or (total > ALWAYS_REWRITE and behind * REWRITE_SHARE < total):
            return
    if total == 0:
        return
    path = vector_path(collection, fingerprint, generation)
    index = collect(catalog, fingerprint, dim, 0, progress=progress)
    assert index is not None
    temporary = path.with_suffix(".tmp")
    try:
        collection.vectors.mkdir(exist_ok=True)
        index.write(temporary)
        size, digests = temporary.stat().st_size, vector_file.digests_of(temporary)
        os.replace(temporary, path)
    except OSError as exc:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        full = exc.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
        raise CollectionStorageError(
            f"cannot write the vector file {path.name} in {collection.vectors}: "
            f"{'the disk is full' if full else exc.strerror or exc}. The catalog holds every "
            f"vector; {'free some space' if full else 'mend that'} and run the same command again"
        ) from exc
    with catalog.transaction():
        catalog.publish_vector_file(fingerprint, VectorFile(generation, total, size, digests))
    remove_vector_files(collection, fingerprint, keep=path)
    if damage is not None:
        say(f"the vector file {damage}: it was written again from the catalog")


def erase_vectors(
    collection: Collection, catalog: StoreWriter, model: Model, ids: Sequence[int]
) -> None:
    """Overwrite vectors of contents that were removed in the published files of a model.

    A file in which that fails is deleted: the catalog holds the other vectors, and the next index
    run writes it again.
    """
    if catalog.codes_file(model.fingerprint) is not None:
        with catalog.transaction():
            catalog.publish_codes_file(model.fingerprint, None)
        remove_codes(collection, model.fingerprint)
    for file in catalog.vector_files(model.fingerprint):
        path = vector_path(collection, model.fingerprint, file.generation)
        with suppress(OSError):
            whole = file.digests is not None and not vector_file.fault(
                path, file.vectors, model.dim, file.digests
            )
            flat = Flat.map(path) if whole else None
            if flat is None or not flat.erase(path, ids):
                path.unlink()
                continue
            erased = replace(file, digests=vector_file.digests_of(path))
            with catalog.transaction():
                catalog.publish_vector_file(model.fingerprint, erased)


def remove_vector_files(
    collection: Collection, fingerprint: str, *, keep: Path | None = None
) -> None:
    """Delete the files of a fingerprint, except `keep`, in any format that clipdex ever wrote."""
    vector_path(collection, fingerprint, 0)  # raises where that would lead elsewhere
    own = re.compile(re.escape(fingerprint) + r"-\d+(\.[0-9a-z]+)*\.(faiss|tmp)")
    for old in collection.vectors.glob(f"{fingerprint}-*"):
        # Codes go with the next ones: those of new vectors are added to them.
        kept = old == keep or (keep is not None and ".codes." in old.name)
        if not kept and own.fullmatch(old.name):
            with suppress(OSError):  # still mapped by a reader, where the system forbids that
                old.unlink()


def collect(
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
        if chunk.shape[1] != dim or done + len(numbers) > total:
            raise damaged_row(f"its vectors are not {total:,} of {dim} components each")
        index.halves[done : done + len(numbers)] = chunk
        index.ids[done : done + len(numbers)] = numbers
        done += len(numbers)
        if progress is not None:
            progress(done, total)
    if done != total:
        raise damaged_row(f"{total:,} vectors are counted and {done:,} found")
    return index
