"""The shared catalog: a `StoreReader` and `StoreWriter` in one schema of a PostgreSQL database.

Its statements are those of `indexer.store.tables`; what PostgreSQL says otherwise is here. Several
programs may write at once: index runs scan, read and encode side by side, and take turns for the
milliseconds in which they commit a batch. An advisory lock does that. It puts generations in the
order of their commits, so that whoever reads on from a generation misses none, and two batches that
hold the same images cannot wait for each other.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg

from indexer.errors import CollectionError, CollectionLocked
from indexer.store.codec import Halves, Ids, halves_of
from indexer.store.paths import words_of
from indexer.store.records import SEPARATOR, OwnIndex, Scope, Words
from indexer.store.tables.base import Condition, below_condition
from indexer.store.tables.contents import STORED_IMAGES, ContentTables, stored_image
from indexer.store.tables.embeddings import EmbeddingTables
from indexer.store.tables.files import FileTables
from indexer.store.tables.labels import LabelTables
from indexer.store.tables.scan import ScanTables

from .address import Address
from .connections import Session, Single, connect_reader, connect_writer, pool_of
from .halfvec import Half
from .schema import enter_words, words_of_path

if TYPE_CHECKING:
    from indexer.store.rows import FileRow, NewContent

# A writer that waits longer for another one's commit gives up.
LOCK_SECONDS = 60
# Rows that are fetched at once where all of them may be many.
ROWS = 4096
# Above every id.
MAX_ID = 2**63 - 1
# What forgetting deletes from.
ERASED = ("embeddings", "contents", "files", "labels")

TEMPORARY = """
CREATE TEMP TABLE IF NOT EXISTS seen (
    root bigint NOT NULL, path bytea NOT NULL, size bigint NOT NULL, mtime_ns bigint NOT NULL,
    reason text, PRIMARY KEY (root, path)
);
CREATE INDEX IF NOT EXISTS seen_unreadable ON seen (root) WHERE reason IS NOT NULL;
CREATE TEMP TABLE IF NOT EXISTS todo (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, root bigint NOT NULL,
    path bytea NOT NULL, added boolean NOT NULL
);
CREATE TEMP TABLE IF NOT EXISTS gone (id bigint PRIMARY KEY);
TRUNCATE seen, todo, gone RESTART IDENTITY;
"""


class PostgresStore(EmbeddingTables, ContentTables, FileTables, LabelTables, ScanTables):
    """A collection in PostgreSQL, open for reading or for writing."""

    _connection: Session
    _temporary = TEMPORARY
    _gone_files = "gone JOIN files USING (id)"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._counted: tuple[str, int] | None = None
        self._scan_began: int | None = None

    @classmethod
    def read(cls, address: Address, pooled: int = 0) -> "PostgresStore":
        """Open a collection for reading.

        Args:
            address: Where it is.
            pooled: How many connections the readers of this process share; 0 for one of its own.

        Raises:
            CollectionNotFound: Nothing was indexed there yet.
            CollectionFormatError: It is older or newer than this clipdex.
            CollectionStorageError: The server cannot be reached, or does not let this user in.
        """
        if pooled:
            return cls(Session(pool_of(address, pooled), address))
        connection = connect_reader(address)
        return cls(Session(Single(address, connection, again=True), address))

    @classmethod
    def write(cls, address: Address, wait: float | None = None) -> "PostgresStore":
        """Open a collection for writing, beside others that do; it is made if it is missing.

        Args:
            address: Where it is.
            wait: Seconds to wait for another writer's commit; `LOCK_SECONDS` when None.

        Raises:
            CollectionFormatError: It is newer than this clipdex.
            CollectionStorageError: The server cannot be reached, or this role may not write.
        """
        connection = connect_writer(address)
        store = cls(Session(Single(address, connection, again=False), address))
        seconds = LOCK_SECONDS if wait is None else wait
        store._query(f"SET lock_timeout = {max(1, round(1000 * seconds)):d}")
        return store

    def close(self) -> None:
        """Let go of the connection; locks of a writer end with it."""
        self._connection.close()

    @property
    def session(self) -> Session:
        """The statements' connection, for searches by vector."""
        return self._connection

    @property
    def is_current(self) -> bool:
        """Whether what is read is what is committed: a server always shows that."""
        return True

    def refresh(self) -> bool:
        """Return that nothing has to be opened anew."""
        return False

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all of the statements inside, or none, when no other writer commits."""
        with self._connection.held() as connection:
            connection.execute("BEGIN")
            try:
                self._query(
                    "SELECT pg_advisory_xact_lock(hashtextextended(?, 0))",
                    (self.lock_name("commit"),),
                )
                yield
                connection.execute("COMMIT")
            except BaseException:
                with suppress(psycopg.Error):
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read one state inside, whatever is committed meanwhile."""
        with self._connection.held() as connection:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                yield
            finally:
                with suppress(psycopg.Error):
                    connection.execute("COMMIT")

    @contextmanager
    def erasing(self) -> Iterator[None]:
        """Have the server clear the tables of what is deleted inside at once.

        It clears its indexes later, by itself: in one of many vectors that takes minutes. Its log
        and its backups keep what was there for as long as its administrator has set.
        """
        try:
            yield
        finally:
            with suppress(CollectionError):  # a role that may not vacuum: the server does it later
                for table in ERASED:
                    self._query(f"VACUUM (INDEX_CLEANUP off, TRUNCATE false) {table}")

    def state(self) -> object:
        """Return what differs once anybody has written; None while this transaction writes."""
        state, own = self._query(
            "SELECT pg_current_snapshot()::text, pg_current_xact_id_if_assigned()::text"
        ).fetchone()
        return None if own else state

    def image_count(self) -> int:
        """Return how many images have a file, counted again only when somebody has written."""
        state: str = self._value("SELECT pg_current_snapshot()::text")
        if self._counted is None or self._counted[0] != state:
            self._counted = state, self.counts()[1]
        return self._counted[1]

    # Models and vectors.

    def _stored(self, vector: bytes) -> object:
        return Half(vector)

    def remove_former_models(self) -> list[str]:
        """Delete what belongs to models neither active nor pending; return the fingerprints."""
        from .hnsw import drop

        former = [model.fingerprint for model, state, _ in self.models() if state == "former"]
        for fingerprint in former:
            drop(self, fingerprint)
        return super().remove_former_models()

    def own_index(self, fingerprint: str) -> OwnIndex:
        """Return how searches find vectors."""
        from .hnsw import Hnsw

        found = Hnsw.of(self, fingerprint)
        if found is None:
            return OwnIndex("flat")
        return OwnIndex("hnsw", found.text_recall, found.image_recall)

    def halves(
        self, fingerprint: str, *, since: int = 0, chunk: int = 1024
    ) -> Iterator[tuple[Ids, Halves]]:
        """Yield (ids `(n,)`, vectors as they are stored) of generations after `since`."""
        dim = self._dim(fingerprint)
        last = (since, MAX_ID)
        while rows := self._query(
            "SELECT content, vector, generation FROM embeddings WHERE fingerprint = ? "
            "AND (generation, content) > (?, ?) ORDER BY generation, content LIMIT ?",
            (fingerprint, *last, chunk),
        ).fetchall():
            last = rows[-1][2], rows[-1][0]
            yield halves_of([row[:2] for row in rows], dim)

    def stored_images(self, fingerprint: str) -> "Iterator[tuple[int, NewContent]]":
        """Yield (id, image) of each content that has a vector of this model, by id."""
        last: int = 0
        while rows := self._query(
            f"{STORED_IMAGES} WHERE fingerprint = ? AND contents.id > ? "
            "ORDER BY contents.id LIMIT ?",
            (fingerprint, last, ROWS),
        ).fetchall():
            last = rows[-1][0]
            yield from ((row[0], stored_image(row[1:])) for row in rows)

    # Files.

    def stored_files(self) -> "Iterator[FileRow]":
        """Yield what came of each file, in the order in which it was entered."""
        from indexer.store.rows import FileRow

        last: int = 0
        while rows := self._query(
            "SELECT id, root, path, size, mtime_ns, content, reason FROM files WHERE id > ? "
            "ORDER BY id LIMIT ?",
            (last, ROWS),
        ).fetchall():
            last = rows[-1][0]
            yield from (FileRow(*row[1:]) for row in rows)

    def put_file(self, row: "FileRow") -> None:
        """Enter what came of a file, in place of what was known of it."""
        reason = (
            None if row.reason is None else row.reason.replace("\0", "\N{REPLACEMENT CHARACTER}")
        )
        self._query(
            "INSERT INTO files (root, path, size, mtime_ns, content, reason, name_words, "
            "folder_words) VALUES (?, ?, ?, ?, ?, ?, to_tsvector('simple', ?), "
            "to_tsvector('simple', ?)) ON CONFLICT (root, path) DO UPDATE SET "
            "size = excluded.size, mtime_ns = excluded.mtime_ns, content = excluded.content, "
            "reason = excluded.reason, entered = excluded.entered",
            (
                row.root,
                row.path,
                row.size,
                row.mtime_ns,
                row.content,
                reason,
                *words_of_path(row.path),
            ),
        )

    def files_below(self, name: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield (root, path) of the files that may lie below a folder of this name."""
        query = "SELECT root, path FROM files WHERE content IS NOT NULL"
        if not name.isascii():
            return iter(self._query(query))
        # Both backslashes of one that is encoded are to be found as they are.
        encoded = name.decode("ascii").replace("\\", "\\\\")
        pattern = re.sub(r"([%_\\])", r"\\\1", encoded)
        return iter(
            self._query(f"{query} AND encode(path, 'escape') ILIKE ?", (f"%{pattern}{os.sep}%",))
        )

    def _move_files(self, inner: int, number: int, below: bytes) -> None:
        self._claim_root(inner)
        self._query(
            "DELETE FROM files WHERE root = ? AND EXISTS (SELECT 1 FROM files AS held "
            "WHERE held.root = ? AND held.path = ? || files.path)",
            (inner, number, below),
        )
        separator = os.fsencode(os.sep)
        for table in ("mounts", "other_files"):
            self._query(
                f"DELETE FROM {table} WHERE root = ? AND path IN "
                f"(SELECT rtrim(? || path, ?) FROM {table} WHERE root = ?)",
                (number, below, separator, inner),
            )
        for table in ("files", "mounts", "other_files"):
            self._query(
                f"UPDATE {table} SET root = ?, path = rtrim(? || path, ?) WHERE root = ?",
                (number, below, separator, inner),
            )
        condition, values = below_condition(number, below.rstrip(SEPARATOR))
        moved = self._query(f"SELECT id, path FROM files WHERE {condition}", values).fetchall()
        with self._connection.held() as connection:
            enter_words(connection, moved)

    @property
    def knows_words(self) -> bool:
        """Whether files are found by the words of their paths."""
        return True

    _joined = "string_agg(content::text, ',')"

    def _words_condition(self, words: Words, limit: int | None) -> Condition:
        wanted = words_of(words.text)
        if not wanted:
            return "false", ()
        query = " <-> ".join(wanted) + ("" if words.whole else ":*")
        found = f"{words.place}_words @@ to_tsquery('simple', ?)"
        if limit is None:
            return found, (query,)
        return f"files.id IN (SELECT id FROM files WHERE {found} LIMIT ?)", (query, limit)

    def move_root(self, number: int, folder: bytes) -> None:
        """Enter that a root lies at another path, and takes in the roots below it there."""
        self._claim_root(number)
        super().move_root(number, folder)

    def remove_files(self, scope: Scope) -> int:
        """Forget the files of a scope, and its root with all of its files; return how many.

        Raises:
            CollectionLocked: Another writer indexes there, and would enter them again.
        """
        self._claim_root(scope.root)
        return super().remove_files(scope)

    def hold_roots(self, numbers: Iterable[int]) -> None:
        """Keep other writers from removing these roots until this one closes."""
        for number in numbers:
            self._query(
                "SELECT pg_advisory_lock_shared(hashtextextended(?, 0))",
                (self.lock_name(f"root {number}"),),
            )

    def _claim_root(self, number: int) -> None:
        """Check that no other writer indexes a root, until the end of the transaction."""
        if self._value(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(?, 0))",
            (self.lock_name(f"root {number}"),),
        ):
            return
        folder = os.fsdecode(self._value("SELECT path FROM roots WHERE id = ?", (number,)))
        raise CollectionLocked(
            f"another `clipdex index` is reading {folder} into {self._connection.address.shown}. "
            "Wait until it ends, and run the same command again"
        )

    def lock_name(self, name: str) -> str:
        """Return what an advisory lock is named by; they are the database's, not the schema's."""
        return f"clipdex/{self._connection.address.schema}/{name}"

    # One scan of the disk.

    def begin_scan(self) -> None:
        """Start with nothing seen."""
        super().begin_scan()
        with self.transaction():  # what is entered from now on has a higher number
            self._scan_began = self._value("SELECT nextval('entries')")

    def see(self, rows: "Iterable[FileRow]") -> None:
        """Note files that lie on disk, or the reason why one could not be looked at."""
        with self._connection.held() as connection, connection.transaction():
            super().see(rows)

    def plan_reading(
        self, fingerprint: str, *, retry_failed: bool, rehash: bool, reader: int
    ) -> tuple[int, int]:
        """Choose the files to read; return (how many, how many are as they were)."""
        self._query("ANALYZE seen")  # nobody else does that for temporary tables
        return super().plan_reading(
            fingerprint, retry_failed=retry_failed, rehash=rehash, reader=reader
        )

    def _before_scan(self) -> str:
        return f" AND entered < {self._scan_began:d}"
