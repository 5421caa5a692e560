"""One scan of the disk, compared with what the catalog knows.

What the scan sees goes into temporary tables of the writer's connection, so that memory stays flat
and the comparison is a join: `seen` holds what lies on disk, `todo` what has to be read, and `gone`
what was not seen again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from indexer.store.records import Scope, Shard

from .base import SET_STATE, Tables, any_of, below_condition, scope_condition

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
CREATE TEMP TABLE IF NOT EXISTS gone (id INTEGER PRIMARY KEY);
DELETE FROM seen;
DELETE FROM todo;
DELETE FROM gone;
"""


class ScanTables(Tables):
    """The tables `mounts` and `other_files`, and the temporary ones of one index run."""

    _temporary = TABLES
    # In this order: SQLite would look each file up in `gone` otherwise.
    _gone_files = "gone CROSS JOIN files USING (id)"

    def begin_scan(self) -> None:
        """Start with nothing seen."""
        self._connection.executescript(self._temporary)

    def see(self, rows: "Iterable[FileRow]") -> None:
        """Note files that lie on disk, or the reason why one could not be looked at."""
        self._many(
            "INSERT INTO seen VALUES (?, ?, ?, ?, ?) ON CONFLICT (root, path) DO UPDATE SET "
            "size = excluded.size, mtime_ns = excluded.mtime_ns, reason = excluded.reason",
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

    def plan_reading(
        self, fingerprint: str, *, retry_failed: bool, rehash: bool, reader: int
    ) -> tuple[int, int]:
        """Choose the files to read: new and changed ones, and those without a vector.

        Args:
            fingerprint: Of the model whose vectors are wanted.
            retry_failed: Whether to read files that failed before, too.
            rehash: Whether to read every file, even where size and time are as they were.
            reader: The version of the reading of images; files that failed are read, too, in roots
                that an older one was used for.

        Returns:
            (files to read, files that are as the catalog knows them).
        """
        self._query(
            "INSERT INTO todo (root, path, added) "
            "SELECT seen.root, seen.path, files.id IS NULL FROM seen "
            "LEFT JOIN files ON files.root = seen.root AND files.path = seen.path "
            "WHERE seen.reason IS NULL AND (files.id IS NULL OR ? OR files.size <> seen.size "
            "OR files.mtime_ns <> seen.mtime_ns OR (files.reason IS NOT NULL AND (? OR NOT EXISTS "
            "(SELECT 1 FROM state WHERE key = 'reader:' || seen.root AND value >= ?))) "
            "OR (files.content IS NOT NULL AND NOT EXISTS (SELECT 1 FROM embeddings "
            "WHERE embeddings.content = files.content AND fingerprint = ?)) "
            # Indexed by a clipdex that made no thumbnails.
            "OR EXISTS (SELECT 1 FROM contents WHERE id = files.content AND sketch IS NULL)) "
            "ORDER BY seen.root, seen.path",
            (rehash, retry_failed, reader, fingerprint),
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

    def find_vanished(self, scopes: Sequence[Scope]) -> None:
        """Find the files of scopes that the scan did not see.

        What lies below a folder that could not be read is not among them.
        """
        for scope in scopes:
            condition, values = scope_condition(scope)
            self._query(
                f"INSERT INTO gone SELECT id FROM files WHERE {condition}{self._before_scan()} "
                "AND NOT EXISTS (SELECT 1 FROM seen WHERE seen.root = files.root "
                "AND seen.path = files.path) ON CONFLICT DO NOTHING",
                values,
            )
        blocked = self._query("SELECT root, path FROM seen WHERE reason IS NOT NULL").fetchall()
        for root, path in blocked:
            condition, values = below_condition(root, path)
            self._query(
                f"DELETE FROM gone WHERE id IN (SELECT id FROM files WHERE {condition})", values
            )

    def _before_scan(self) -> str:
        """Return SQL that leaves out files that other writers have entered since the scan began.

        With one writer there are none.
        """
        return ""

    def vanished(self) -> Iterator[tuple[int, bytes, int]]:
        """Yield (root, path, content) of the images among the vanished files."""
        yield from self._query(
            f"SELECT root, path, content FROM {self._gone_files} WHERE content IS NOT NULL"
        )

    def remove_vanished(self) -> int:
        """Forget the files that `find_vanished` found.

        Returns:
            How many images are gone, and not moved.
        """
        moved: int = self._value(
            f"SELECT count(*) FROM {self._gone_files} WHERE EXISTS (SELECT 1 FROM "
            "files AS new JOIN todo ON todo.root = new.root AND todo.path = new.path "
            "WHERE new.content = files.content AND todo.added)"
        )
        images: int = self._value(
            f"SELECT count(*) FROM {self._gone_files} WHERE content IS NOT NULL"
        )
        self._query("DELETE FROM files WHERE id IN (SELECT id FROM gone)")
        return images - moved

    def saw_known_file(self, scope: Scope) -> bool:
        """Return whether the scan saw an image of a scope that is known already."""
        condition, values = scope_condition(scope)
        found = self._value(
            f"SELECT 1 FROM files WHERE {condition} AND content IS NOT NULL AND EXISTS (SELECT 1 "
            "FROM seen WHERE seen.root = files.root AND seen.path = files.path) LIMIT 1",
            values,
        )
        return found is not None

    def mounts(self, scope: Scope) -> dict[bytes, str]:
        """Return the places in a scope that led elsewhere at the last scan, with their kinds."""
        condition, values = scope_condition(scope)
        return dict(self._query(f"SELECT path, kind FROM mounts WHERE {condition}", values))

    def set_mounts(self, scope: Scope, places: Mapping[bytes, str]) -> None:
        """Note the places in a scope that lead elsewhere."""
        condition, values = scope_condition(scope)
        self._query(f"DELETE FROM mounts WHERE {condition}", values)
        self._many(
            "INSERT INTO mounts VALUES (?, ?, ?) ON CONFLICT (root, path) "
            "DO UPDATE SET kind = excluded.kind",
            ((scope.root, path, kind) for path, kind in places.items()),
        )

    def shard(self) -> Shard | None:
        """Return which share of all files is indexed here; None for all of them."""
        known = dict(self._query("SELECT key, value FROM state WHERE key IN ('shard', 'shards')"))
        number, count = known.get("shard"), known.get("shards")
        return Shard(number, count) if number and count else None

    def set_shard(self, shard: Shard) -> None:
        """Keep which share of all files is indexed here."""
        rows = (("shard", shard.number), ("shards", shard.count))
        self._many(SET_STATE, rows)

    def set_reader_version(self, root: int, version: int) -> None:
        """Note that all of a root was read with this reading of images."""
        self._query(SET_STATE, (f"reader:{root}", version))

    def is_other_file(self, root: int, path: bytes, size: int, mtime_ns: int) -> bool:
        """Return whether a file, as it is now, was found not to be an image."""
        found = self._value(
            "SELECT size = ? AND mtime_ns = ? FROM other_files WHERE root = ? AND path = ?",
            (size, mtime_ns, root, path),
        )
        return bool(found)

    def put_other_files(self, rows: "Iterable[FileRow]") -> None:
        """Note files that are not images."""
        self._many(
            "INSERT INTO other_files VALUES (?, ?, ?, ?) ON CONFLICT (root, path) "
            "DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns",
            ((row.root, row.path, row.size, row.mtime_ns) for row in rows),
        )

    def remove_other_files(self) -> None:
        """Forget which files are not images, so that they are looked into again."""
        self._query("DELETE FROM other_files")
