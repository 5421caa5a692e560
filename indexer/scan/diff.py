"""Compares what folders hold now with what the catalog knows."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from indexer.errors import RootUnavailable
from indexer.store.catalog import Catalog
from indexer.store.collection import Collection
from indexer.store.protocol import StoreWriter
from indexer.store.records import Scope, inside
from indexer.store.rows import FileRow

from .walk import Found, walk

# Files recorded at once, and reported as progress.
STEP = 1000


def resolve(path: Path, collection: Collection) -> Path:
    """Return the absolute path with links followed.

    Args:
        path: The folder or file to index.
        collection: Where it will be indexed: only what it knows can have been unplugged.

    Raises:
        RootUnavailable: There is nothing at this path.
    """
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        what = f"{path} is not there ({reason})"
        if not isinstance(exc, ValueError) and _is_known(path, collection):
            raise RootUnavailable.unplugged(what) from exc
        raise RootUnavailable(
            f"{what}. Nothing was indexed: give the path of a folder or an image"
        ) from exc


def _is_known(path: Path, collection: Collection) -> bool:
    """Return whether a collection has roots at a path, above it or below it."""
    if not collection.exists:
        return False
    here = os.fsencode(os.path.realpath(path))
    with closing(Catalog.open(collection)) as catalog:
        roots = catalog.roots().values()
        return any(
            inside(root, here) is not None or inside(here, root) is not None for root in roots
        )


def scope_of(catalog: StoreWriter, path: Path) -> Scope:
    """Return the scope of a folder or file, adding a root if no root contains it.

    A new root absorbs the roots below it.

    Args:
        catalog: The catalog to look the roots up in.
        path: Absolute, links followed.
    """
    here = os.fsencode(path)
    for number, root in catalog.roots().items():
        below = inside(root, here)
        if below is not None:
            return Scope(number, Path(os.fsdecode(root)), below)
    if path.is_file():
        parent = scope_of(catalog, path.parent)
        below = os.path.join(parent.below, os.fsencode(path.name))
        return Scope(parent.root, parent.location, below)
    with catalog.transaction():
        return Scope(catalog.add_root(here), path)


def scan(
    catalog: StoreWriter, scopes: Sequence[Scope], *, exclude: Sequence[str], skip: Path
) -> Iterator[int]:
    """Record what the scopes hold.

    Args:
        catalog: The catalog to record it in.
        scopes: The folders or files to scan.
        exclude: Patterns of files and folders to leave out.
        skip: A folder to leave out.

    Yields:
        How many files were found so far.

    Raises:
        RootUnavailable: A scope cannot be listed, or held images and is empty now.
    """
    catalog.begin_scan()
    count = 0
    for scope in scopes:
        before = count
        try:
            for rows in _rows(scope, exclude, skip):
                catalog.see(rows)
                count += sum(row.reason is None for row in rows)
                if len(rows) == STEP:
                    yield count
        except OSError as exc:
            raise RootUnavailable(
                f"{_display(scope)} cannot be read ({exc.strerror or exc}). Nothing was removed; "
                "check its permissions and run the same command again"
            ) from exc
        known = catalog.count_images(scope)
        if known and count == before:
            raise RootUnavailable.unplugged(
                f"{_display(scope)} held {known:,} images and is empty now"
            )
    yield count


def remove_vanished(catalog: StoreWriter, scopes: Sequence[Scope]) -> int:
    """Remove the files that the scan did not find; call this inside a transaction.

    Returns:
        How many images are gone, without those that have moved.
    """
    return sum(catalog.remove_vanished(scope) for scope in scopes)


def _rows(scope: Scope, exclude: Sequence[str], skip: Path) -> Iterator[list[FileRow]]:
    """Yield what a scope holds, STEP files at a time."""
    rows: list[FileRow] = []
    for entry in walk(scope.location, below=scope.below, exclude=exclude, skip=skip):
        if isinstance(entry, Found):
            rows.append(FileRow(scope.root, entry.path, entry.size, entry.mtime_ns))
        else:
            rows.append(FileRow(scope.root, entry.path, -1, -1, reason=entry.reason))
        if len(rows) == STEP:
            yield rows
            rows = []
    yield rows


def _display(scope: Scope) -> str:
    path = os.path.join(os.fsencode(scope.location), scope.below) if scope.below else scope.location
    return os.fsencode(path).decode("utf-8", "replace")
