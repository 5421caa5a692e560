"""Taking pictures out of a collection, vectors and all."""

import os
from pathlib import Path

from .catalogue import Catalogue
from .changes import Scope, inside
from .collection import Collection
from .database import translated
from .errors import CollectionError
from .lock import writer_lock


def forget(collection: Collection, path: Path) -> int:
    """Remove a file, or all files below a folder, whether it still exists or not.

    Returns how many files were removed. Photos are not touched. Raises CollectionError where the
    collection holds nothing there.
    """
    collection.require()
    with writer_lock(collection, "forget"), translated(str(collection.folder)):
        catalogue = Catalogue.open(collection, writable=True)
        try:
            with catalogue.transaction():
                # As resolved, or as walked to through a link inside a root.
                for here in (os.path.realpath(path), os.path.abspath(path)):
                    scopes = _scopes(catalogue, os.fsencode(here))
                    removed = sum(_forget(catalogue, scope) for scope in scopes)
                    if removed:
                        break
                prune(catalogue)
        finally:
            catalogue.close()
    if not removed:
        raise CollectionError(
            f"the collection holds nothing at {path}. `clipdex status` lists its folders"
        )
    return removed


def prune(catalogue: Catalogue) -> int:
    """Delete the contents that no file holds any more; returns how many. In a transaction."""
    connection = catalogue.connection
    count: int = connection.execute("SELECT count(*) FROM contents WHERE paths = 0").fetchone()[0]
    if count:
        connection.execute(
            "INSERT INTO tombstones SELECT id, ? FROM contents WHERE paths = 0",
            (catalogue.next_generation(),),
        )
        connection.execute(
            "DELETE FROM embeddings WHERE content IN (SELECT id FROM contents WHERE paths = 0)"
        )
        connection.execute("DELETE FROM contents WHERE paths = 0")
    return count


def _scopes(catalogue: Catalogue, here: bytes) -> list[Scope]:
    """The part of a root that `here` is, and every root inside it."""
    found = []
    for number, root in catalogue.roots().items():
        below = b"" if inside(here, root) is not None else inside(root, here)
        if below is not None:
            found.append(Scope(number, Path(os.fsdecode(root)), below))
    return found


def _forget(catalogue: Catalogue, scope: Scope) -> int:
    condition, parameters = scope.condition
    removed = catalogue.connection.execute(f"DELETE FROM files WHERE {condition}", parameters)
    if not scope.below:
        catalogue.connection.execute("DELETE FROM roots WHERE id = ?", (scope.root,))
        return max(removed.rowcount, 1)
    return removed.rowcount
