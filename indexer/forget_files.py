"""Removing images from a collection, together with everything that was made of them."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from indexer.sources.url import absolute
from indexer.store.catalog import writing
from indexer.store.collection import Collection, locate
from indexer.store.database import format_copies
from indexer.store.paths import comparable
from indexer.store.protocol import StoreReader, StoreWriter
from indexer.store.publish_vectors import erase_vectors
from indexer.store.records import SEPARATOR, Scope, inside, join
from indexer.store.rows import Exclusion
from indexer.store.thumbnail_files import remove_thumbnails

from .errors import CollectionError
from .scan.exclusions import FORGET


def forget(
    collection: Collection | Path | str,
    path: Path | str,
    *,
    drop_labels: bool = False,
    on_note: Callable[[str], None] | None = None,
) -> int:
    """Remove a file, or all files below a folder, from a collection for good.

    Everything that was made of the images is deleted at once: vectors, dates, thumbnails. Later
    index runs leave the path out, unless it is named itself. The labels that the user gave stay,
    by the hashes of the images, for when these come back. The path need not exist any more. The
    image files themselves are not touched.

    Args:
        collection: The collection to remove from, or its folder or URL.
        path: A file or folder, or the URL of one.
        drop_labels: Whether to delete the user's labels too.
        on_note: Called with a line of text on what else is to be known.

    Returns:
        How many files were removed.

    Raises:
        CollectionError: The collection holds nothing there.
    """
    if not isinstance(collection, Collection):
        collection = locate(collection)
    collection.require()
    with writing(collection, "forget") as catalog:
        scopes = _scopes(catalog, path)
        if not scopes:
            raise CollectionError(
                f"the collection holds nothing at {path}. `clipdex status` lists its folders"
            )
        contents = sorted({number for scope in scopes for number in catalog.contents_in(scope)})
        with catalog.erasing():
            with catalog.transaction():
                removed = sum(catalog.remove_files(scope) for scope in scopes)
                catalog.add_exclusions(
                    Exclusion(b"", join(scope.location, scope.below), FORGET) for scope in scopes
                )
                orphaned = catalog.without_files(contents)
                if drop_labels:
                    catalog.remove_own_labels(orphaned)
                kept = catalog.count_own_labels(orphaned)
                gone = prune(catalog, orphaned)
            erase(collection, catalog, gone)
    if kept and on_note is not None:
        on_note(
            f"labels of yours that are kept for when these images come back: {kept:,} "
            "(--drop-labels deletes them)"
        )
    return removed


def prune(catalog: StoreWriter, among: Sequence[int] | None = None) -> dict[int, bytes]:
    """Delete the contents that no file holds any more; call this inside a transaction.

    Args:
        catalog: The catalog to delete from.
        among: Only these contents; None for all.

    Returns:
        Ids and hashes of those that were deleted; `erase` removes what else there is of them.
    """
    orphaned = catalog.digests(catalog.without_files(among))
    if orphaned:
        catalog.remove_contents(orphaned, catalog.next_generation())
    return orphaned


def erase(collection: Collection, catalog: StoreWriter, contents: Mapping[int, bytes]) -> None:
    """Delete what is kept of deleted contents outside the catalog.

    That is thumbnails, vectors, and the copies of the catalog from before its format was changed.

    Args:
        collection: The collection.
        catalog: Its catalog.
        contents: Hashes by id.
    """
    if not contents:
        return
    remove_thumbnails(collection, contents.values())
    for copy in format_copies(collection.catalog):
        copy.unlink(missing_ok=True)
    for model, _, _ in catalog.models():
        erase_vectors(collection, catalog, model, list(contents))


def _scopes(catalog: StoreReader, path: Path | str) -> list[Scope]:
    """Return the parts of roots that hold something at a path, or below it."""
    # A link inside a root is indexed under its own path, so both forms are tried.
    written = absolute(path, followed=False)
    for here in (absolute(path), written):
        found = [scope for scope in _at(catalog.roots(), here) if catalog.holds(scope)]
        if found:
            return found
    return list(_named_alike(catalog, written))


def _at(roots: dict[int, bytes], here: bytes) -> list[Scope]:
    """Return the part of a root that `here` lies in, and every root inside `here`."""
    found = []
    for number, root in roots.items():
        below = b"" if inside(here, root) is not None else inside(root, here)
        if below is not None:
            found.append(Scope(number, root, below))
    return found


def _named_alike(catalog: StoreReader, here: bytes) -> list[Scope]:
    """Return the scopes whose path differs from `here` only in how accents are encoded."""
    if here.isascii():
        return []
    wanted = os.fsencode(comparable(here))
    found: dict[tuple[int, bytes], Scope] = {}
    for number, root in catalog.roots().items():
        below = inside(os.fsencode(comparable(root)), wanted)
        if not below:
            if below is not None or inside(wanted, os.fsencode(comparable(root))) is not None:
                found[number, b""] = Scope(number, root)
            continue
        depth = below.count(SEPARATOR) + 1
        for path in catalog.paths_in(number):
            start = SEPARATOR.join(path.split(SEPARATOR)[:depth])
            if os.fsencode(comparable(start)) == below:
                found[number, start] = Scope(number, root, start)
    return list(found.values())
