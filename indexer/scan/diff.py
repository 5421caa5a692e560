"""What a folder holds now against what the catalog knows of it.

A scan goes into temporary tables of the writer's connection, so that memory stays flat and the
comparison is a join: `seen` holds what lies on disk, `todo` what has to be read.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from indexer.errors import RootUnavailable
from indexer.store.catalog import Catalog
from indexer.store.scope import SEPARATOR, Scope, inside

from .walk import Found, Unreadable, scan

TABLES = """
CREATE TEMP TABLE IF NOT EXISTS seen (
    root INTEGER NOT NULL, path BLOB NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    reason TEXT, PRIMARY KEY (root, path)
) WITHOUT ROWID;
CREATE TEMP TABLE IF NOT EXISTS todo (
    number INTEGER PRIMARY KEY, root INTEGER NOT NULL, path BLOB NOT NULL, added INTEGER NOT NULL
);
DELETE FROM seen;
DELETE FROM todo;
"""


@dataclass(frozen=True)
class Task:
    """A file to read, as the scan saw it; `path` is relative to `folder`, root's absolute path."""

    root: int
    folder: bytes
    path: bytes
    size: int
    mtime_ns: int

    @property
    def location(self) -> bytes:
        """The absolute path."""
        return os.path.join(self.folder, self.path)


def resolve(path: Path) -> Path:
    """The absolute path with links followed; raises RootUnavailable where nothing is there."""
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError) as exc:
        raise RootUnavailable(
            f"{path} is not there ({getattr(exc, 'strerror', None) or exc}). If it is on a drive, "
            "plug that in; if it is gone for good, run `clipdex forget` on it. Nothing was removed"
        ) from exc


def scope_of(catalog: Catalog, path: Path) -> Scope:
    """The scope of a folder or file: inside a known root, or a new root that takes in those below.

    path: absolute, links followed.
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
        return Scope(_add_root(catalog, here), path)


def _add_root(catalog: Catalog, here: bytes) -> int:
    connection = catalog.connection
    number = connection.execute("INSERT INTO roots (path) VALUES (?)", (here,)).lastrowid
    assert number is not None
    for inner, root in catalog.roots().items():
        below = inside(here, root)
        if below:
            prefix = below + SEPARATOR
            connection.execute(
                "UPDATE files SET root = ?, path = CAST(? || path AS BLOB) WHERE root = ?",
                (number, prefix, inner),
            )
            connection.execute("DELETE FROM roots WHERE id = ?", (inner,))
    return number


def look(
    catalog: Catalog, scopes: Sequence[Scope], *, exclude: Sequence[str], skip: Path
) -> Iterator[int]:
    """Scan the scopes into `seen`, yielding how many files were found so far.

    Raises RootUnavailable for a scope that cannot be listed, or that held images and holds none.
    """
    connection = catalog.connection
    connection.executescript(TABLES)
    count = 0
    for scope in scopes:
        before = count
        try:
            for entry in scan(scope.location, below=scope.below, exclude=exclude, skip=skip):
                row: tuple[int, bytes, int, int, str | None]
                match entry:
                    case Found(path, size, mtime_ns):
                        row = (scope.root, path, size, mtime_ns, None)
                        count += 1
                    case Unreadable(path, reason):
                        row = (scope.root, path, -1, -1, reason)
                connection.execute("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?)", row)
                if count % 1000 == 0:
                    yield count
        except OSError as exc:
            raise RootUnavailable(
                f"{_display(scope)} cannot be read ({exc.strerror or exc}). Nothing was removed; "
                "check its permissions and run the same command again"
            ) from exc
        condition, parameters = scope.condition
        known = connection.execute(
            f"SELECT count(*) FROM files WHERE {condition} AND content IS NOT NULL", parameters
        ).fetchone()[0]
        if known and count == before:
            raise RootUnavailable(
                f"{_display(scope)} held {known:,} images and is empty now (an unplugged "
                "drive?). Nothing was removed; if they are gone for good, run `clipdex forget` "
                "on it"
            )
    yield count


def plan(catalog: Catalog, fingerprint: str, *, retry_failed: bool) -> tuple[int, int]:
    """Fill `todo`: new and changed files, and those whose image has no vector of `fingerprint`.

    Returns (files to read, files that are as the catalog knows them).
    """
    connection = catalog.connection
    connection.execute(
        "INSERT INTO todo (root, path, added) "
        "SELECT seen.root, seen.path, files.id IS NULL FROM seen "
        "LEFT JOIN files ON files.root = seen.root AND files.path = seen.path "
        "WHERE seen.reason IS NULL AND (files.id IS NULL OR files.size <> seen.size "
        "OR files.mtime_ns <> seen.mtime_ns OR (? AND files.reason IS NOT NULL) "
        "OR (files.content IS NOT NULL AND NOT EXISTS (SELECT 1 FROM embeddings "
        "WHERE embeddings.content = files.content AND fingerprint = ?)) "
        # Indexed by a clipdex that made no sketches.
        "OR EXISTS (SELECT 1 FROM contents WHERE id = files.content AND sketch IS NULL)) "
        "ORDER BY seen.root, seen.path",
        (retry_failed, fingerprint),
    )
    to_read: int = connection.execute("SELECT count(*) FROM todo").fetchone()[0]
    readable = connection.execute("SELECT count(*) FROM seen WHERE reason IS NULL").fetchone()[0]
    return to_read, readable - to_read


def tasks(catalog: Catalog, *, chunk: int = 256) -> Iterator[Task]:
    """The files of `todo`, in order."""
    roots = catalog.roots()
    last = 0
    while rows := catalog.connection.execute(
        "SELECT number, root, path, size, mtime_ns FROM todo JOIN seen USING (root, path) "
        "WHERE number > ? ORDER BY number LIMIT ?",
        (last, chunk),
    ).fetchall():
        for number, root, path, size, mtime_ns in rows:
            last = number
            yield Task(root, roots[root], path, size, mtime_ns)


def unreadable(catalog: Catalog) -> list[tuple[int, bytes, str]]:
    """(root, path, reason) of what the scan could not look at."""
    return catalog.connection.execute(
        "SELECT root, path, reason FROM seen WHERE reason IS NOT NULL ORDER BY root, path"
    ).fetchall()


def remove_vanished(catalog: Catalog, scopes: Sequence[Scope]) -> int:
    """Drop the files that the scan did not find; returns how many images are gone, not moved.

    What lies below a folder that could not be read stays. Call inside a transaction.
    """
    connection = catalog.connection
    deleted = 0
    for scope in scopes:
        condition, parameters = scope.condition
        gone = (
            f"{condition} AND NOT EXISTS (SELECT 1 FROM seen WHERE seen.root = files.root "
            "AND (seen.path = files.path OR (seen.reason IS NOT NULL AND "
            "substr(files.path, 1, length(seen.path) + 1) = CAST(seen.path || ? AS BLOB))))"
        )
        arguments = (*parameters, SEPARATOR)
        moved = connection.execute(
            f"SELECT count(*) FROM files WHERE {gone} AND content IN (SELECT new.content "
            "FROM files AS new JOIN todo ON todo.root = new.root AND todo.path = new.path "
            "WHERE todo.added)",
            arguments,
        ).fetchone()[0]
        images = connection.execute(
            f"SELECT count(*) FROM files WHERE {gone} AND content IS NOT NULL", arguments
        ).fetchone()[0]
        connection.execute(f"DELETE FROM files WHERE {gone}", arguments)
        deleted += images - moved
    return deleted


def _display(scope: Scope) -> str:
    path = os.path.join(os.fsencode(scope.location), scope.below) if scope.below else scope.location
    return os.fsencode(path).decode("utf-8", "replace")
