"""Removing images from a collection, together with their vectors."""

import os
from collections.abc import Iterable
from pathlib import Path

from indexer.store.catalog import write_transaction
from indexer.store.collection import Collection
from indexer.store.protocol import StoreReader, StoreWriter
from indexer.store.records import Scope, inside

from .errors import CollectionError


def forget(collection: Collection, path: Path) -> int:
    """Remove a file, or all files below a folder, from a collection.

    The path need not exist any more. The image files themselves are not touched.

    Args:
        collection: The collection to remove from.
        path: A file or folder.

    Returns:
        How many files were removed.

    Raises:
        CollectionError: The collection holds nothing there.
    """
    removed = 0
    with write_transaction(collection, "forget") as catalog:
        # A link inside a root is indexed under its own path, so both forms are tried.
        for here in (os.path.realpath(path), os.path.abspath(path)):
            scopes = _scopes(catalog, os.fsencode(here))
            contents = [number for scope in scopes for number in catalog.contents_in(scope)]
            removed = sum(catalog.remove_files(scope) for scope in scopes)
            if removed:
                prune(catalog, contents)
                break
    if not removed:
        raise CollectionError(
            f"the collection holds nothing at {path}. `clipdex status` lists its folders"
        )
    return removed


def prune(catalog: StoreWriter, among: Iterable[int] | None = None) -> int:
    """Delete the contents that no file holds any more; call this inside a transaction.

    Args:
        catalog: The catalog to delete from.
        among: Only these contents; None for all.

    Returns:
        How many were deleted.
    """
    orphaned = catalog.without_files()
    if among is not None:
        orphaned = sorted(set(orphaned).intersection(among))
    if orphaned:
        catalog.remove_contents(orphaned, catalog.next_generation())
    return len(orphaned)


def _scopes(catalog: StoreReader, here: bytes) -> list[Scope]:
    """Return the part of a root that `here` lies in, and every root inside `here`."""
    found = []
    for number, root in catalog.roots().items():
        below = b"" if inside(here, root) is not None else inside(root, here)
        if below is not None:
            found.append(Scope(number, Path(os.fsdecode(root)), below))
    return found
