"""One scan of the disk, compared with what the catalog knows.

What the scan sees goes into temporary tables of the writer's connection, so that memory stays flat
and the comparison is a join: `seen` holds what lies on disk, `todo` what has to be read.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from indexer.store.records import SEPARATOR, Scope

from .base import Tables, any_of, scope_condition

if TYPE_CHECKING:  # a search from the command line has no use for them
    from indexer.store.rows import FileRow, Task

TABLES = """
CREATE TEMP TABLE IF NOT EXISTS seen (
    root INTEGER NOT NULL, path BLOB NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    reason TEXT, PRIMARY KEY (root, path)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS temp.seen_unreadable ON seen (root) WHERE reason IS NOT NULL;
CREATE TEMP TABLE IF NOT EXISTS todo (
    number INTEGER PRIMARY KEY, root INTEGER NOT NULL, path BLOB NOT NULL, added INTEGER NOT NULL
);
DELETE FROM seen;
DELETE FROM todo;
"""


class ScanTables(Tables):
    """The temporary tables `seen` and `todo` of one index run."""

    def begin_scan(self) -> None:
        """Start with nothing seen."""
        self._connection.executescript(TABLES)

    def see(self, rows: "Iterable[FileRow]") -> None:
        """Note files that lie on disk, or the reason why one could not be looked at."""
        self._many(
            "INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?)",
            ((row.root, row.path, row.size, row.mtime_ns, row.reason) for row in rows),
        )

    def files_outside(self, scopes: Sequence[Scope], root: int) -> "list[FileRow]":
        """Return the images of a root that lie outside the scopes, as the catalog knows them."""
        from indexer.store.rows import FileRow

        condition, values = any_of(scopes)
        rows = self._query(
            "SELECT root, path, size, mtime_ns FROM files WHERE root = ? "
            f"AND content IS NOT NULL AND NOT {condition}",
            (root, *values),
        )
        return [FileRow(*row) for row in rows]

    def plan_reading(self, fingerprint: str, *, retry_failed: bool) -> tuple[int, int]:
        """Choose the files to read: new and changed ones, and those without a vector.

        Args:
            fingerprint: Of the model whose vectors are wanted.
            retry_failed: Whether to read files that failed before, too.

        Returns:
            (files to read, files that are as the catalog knows them).
        """
        self._query(
            "INSERT INTO todo (root, path, added) "
            "SELECT seen.root, seen.path, files.id IS NULL FROM seen "
            "LEFT JOIN files ON files.root = seen.root AND files.path = seen.path "
            "WHERE seen.reason IS NULL AND (files.id IS NULL OR files.size <> seen.size "
            "OR files.mtime_ns <> seen.mtime_ns OR (? AND files.reason IS NOT NULL) "
            "OR (files.content IS NOT NULL AND NOT EXISTS (SELECT 1 FROM embeddings "
            "WHERE embeddings.content = files.content AND fingerprint = ?)) "
            # Indexed by a clipdex that made no thumbnails.
            "OR EXISTS (SELECT 1 FROM contents WHERE id = files.content AND sketch IS NULL)) "
            "ORDER BY seen.root, seen.path",
            (retry_failed, fingerprint),
        )
        to_read: int = self._value("SELECT count(*) FROM todo")
        readable: int = self._value("SELECT count(*) FROM seen WHERE reason IS NULL")
        return to_read, readable - to_read

    def tasks(self, *, chunk: int = 256) -> "Iterator[Task]":
        """Yield the files to read, in order of their paths."""
        from indexer.store.rows import Task

        roots = dict(self._query("SELECT id, path FROM roots").fetchall())
        last = 0
        while rows := self._query(
            "SELECT number, root, path, size, mtime_ns FROM todo JOIN seen USING (root, path) "
            "WHERE number > ? ORDER BY number LIMIT ?",
            (last, chunk),
        ).fetchall():
            for number, root, path, size, mtime_ns in rows:
                last = number
                yield Task(root, roots[root], path, size, mtime_ns)

    def unreadable(self) -> "list[FileRow]":
        """Return what the scan could not look at."""
        from indexer.store.rows import FileRow

        rows = self._query(
            "SELECT root, path, size, mtime_ns, NULL, reason FROM seen "
            "WHERE reason IS NOT NULL ORDER BY root, path"
        )
        return [FileRow(*row) for row in rows]

    def remove_vanished(self, scope: Scope) -> int:
        """Forget the files of a scope that the scan did not see.

        What lies below a folder that could not be read stays.

        Returns:
            How many images are gone, and not moved.
        """
        condition, values = scope_condition(scope)
        # Two questions rather than one with OR, which would read all of `seen` for each file.
        gone = (
            f"{condition} AND NOT EXISTS (SELECT 1 FROM seen WHERE seen.root = files.root "
            "AND seen.path = files.path) AND NOT EXISTS (SELECT 1 FROM seen AS blocked "
            "WHERE blocked.reason IS NOT NULL AND blocked.root = files.root AND "
            "substr(files.path, 1, length(blocked.path) + 1) = CAST(blocked.path || ? AS BLOB))"
        )
        arguments = (*values, SEPARATOR)
        moved: int = self._value(
            f"SELECT count(*) FROM files WHERE {gone} AND content IN (SELECT new.content "
            "FROM files AS new JOIN todo ON todo.root = new.root AND todo.path = new.path "
            "WHERE todo.added)",
            arguments,
        )
        images: int = self._value(
            f"SELECT count(*) FROM files WHERE {gone} AND content IS NOT NULL", arguments
        )
        self._query(f"DELETE FROM files WHERE {gone}", arguments)
        return images - moved
