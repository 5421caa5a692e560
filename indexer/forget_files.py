"""Taking images out of a collection, vectors and all."""

import os
from collections.abc import Iterable
from pathlib import Path

from indexer.store.catalog import Catalog
from indexer.store.collection import Collection
from indexer.store.database import translated
from indexer.store.lock import writer_lock
from indexer.store.scope import Scope, inside

from .errors import CollectionError


def forget(collection: Collection, path: Path) -> int:
    """Remove a file, or all files below a folder, whether it still exists or not.

    Returns how many files were removed. Photos are not touched. Raises CollectionError where the
    collection holds nothing there.
    """
    collection.require()
    with writer_lock(collection, "forget"), translated(str(collection.folder)):
        catalog = Catalog.open(collection, writable=True)
        try:
            with catalog.transaction():
                # As resolved, or as walked to through a link inside a root.
                for here in (os.path.realpath(path), os.path.abspath(path)):
                    scopes = _scopes(catalog, os.fsencode(here))
                    contents = [number for scope in scopes for number in _contents(catalog, scope)]
                    removed = sum(_forget(catalog, scope) for scope in scopes)
                    if removed:
                        break
                prune(catalog, contents)
        finally:
            catalog.close()
    if not removed:
        raise CollectionError(
            f"the collection holds nothing at {path}. `clipdex status` lists its folders"
        )
    return removed


def prune(catalog: Catalog, among: Iterable[int] | None = None) -> int:
    """Delete the contents (of these ids, or of all) that no file holds any more; returns how many.

    Call inside a transaction.
    """
    connection = catalog.connection
    without_files = catalog.without_paths()
    orphaned = without_files if among is None else sorted(set(without_files).intersection(among))
    if orphaned:
        generation = catalog.next_generation()
        rows = [(number,) for number in orphaned]
        connection.executemany(f"INSERT INTO tombstones VALUES (?, {generation})", rows)
        connection.executemany("DELETE FROM embeddings WHERE content = ?", rows)
        connection.executemany("DELETE FROM labels WHERE content = ?", rows)
        connection.executemany("DELETE FROM contents WHERE id = ?", rows)
    return len(orphaned)


def _scopes(catalog: Catalog, here: bytes) -> list[Scope]:
    """The part of a root that `here` is, and every root inside it."""
    found = []
    for number, root in catalog.roots().items():
        below = b"" if inside(here, root) is not None else inside(root, here)
        if below is not None:
            found.append(Scope(number, Path(os.fsdecode(root)), below))
    return found


def _contents(catalog: Catalog, scope: Scope) -> list[int]:
    """The contents that the files of a scope hold."""
    condition, parameters = scope.condition
    return [
        row[0]
        for row in catalog.connection.execute(
            f"SELECT DISTINCT content FROM files WHERE {condition} AND content IS NOT NULL",
            parameters,
        )
    ]


def _forget(catalog: Catalog, scope: Scope) -> int:
    condition, parameters = scope.condition
    removed = catalog.connection.execute(f"DELETE FROM files WHERE {condition}", parameters)
    if not scope.below:
        catalog.connection.execute("DELETE FROM roots WHERE id = ?", (scope.root,))
        return max(removed.rowcount, 1)
    return removed.rowcount
