"""The catalog: one SQLite file that holds everything that cannot be computed again.

Write-ahead logging lets readers go on while one writer commits; a process killed at any moment
leaves the last whole transaction. `Catalog` is the SQLite store behind the faces of
`indexer.store.protocol`; its statements stand in one module for each group of tables.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Self

from indexer.errors import CollectionNotFound
from indexer.store.tables.contents import ContentTables
from indexer.store.tables.embeddings import EmbeddingTables
from indexer.store.tables.files import FileTables
from indexer.store.tables.labels import LabelTables
from indexer.store.tables.scan import ScanTables

from .collection import Collection, SharedCollection
from .database import Connection, connect_reader, connect_writer
from .lock import writer_lock
from .protocol import StoreReader, StoreWriter


class Catalog(EmbeddingTables, ContentTables, FileTables, LabelTables, ScanTables):
    """A connection to one collection's catalog: a `StoreReader`, or a `StoreWriter`."""

    _connection: Connection

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._counted: tuple[int, int] | None = None

    @classmethod
    def open(cls, collection: Collection) -> Self:
        """Open for reading.

        Raises:
            CollectionNotFound: Nothing was indexed there yet.
            CollectionFormatError: It is older or newer than this clipdex, or not a catalog.
            CollectionStorageError: It cannot be read.
        """
        collection.require()
        return cls(connect_reader(collection.catalog, str(collection.folder)))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @property
    def is_current(self) -> bool:
        """Whether what was read until now is what lies at the catalog's path."""
        return self._connection.is_current

    def refresh(self) -> bool:
        """Open the catalog anew if it is not current: replaced, or changed where it has no log.

        Returns:
            Whether it was opened anew, so that nothing that was read before counts any more.

        Raises:
            CollectionError: It cannot be opened any more.
        """
        if self._connection.is_current:
            return False
        path, place = self._connection.path, self._connection.place
        if not path.is_file():
            raise CollectionNotFound(f"no collection at {place}: it was removed")
        fresh = connect_reader(path, place)
        self._connection.close()
        self._connection, self._counted, self._dated = fresh, None, None
        return True

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all of the statements inside, or none."""
        self._query("BEGIN IMMEDIATE")
        try:
            yield
            self._query("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._query("ROLLBACK")
            raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read one state inside, whatever is committed meanwhile."""
        self._query("BEGIN")
        try:
            yield
        finally:
            self._query("COMMIT")

    @contextmanager
    def erasing(self) -> Iterator[None]:
        """Overwrite what is deleted inside with zeros, in the file and in its log."""
        self._query("PRAGMA secure_delete = ON")
        try:
            yield
        finally:
            # Merged, the words of deleted paths are gone from the index, too.
            self._query("INSERT INTO path_words (path_words) VALUES ('optimize')")
            self._query("PRAGMA secure_delete = OFF")
            self._query("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def state(self) -> object:
        """Return what differs once anybody has written, by this connection or another one."""
        return self._value("PRAGMA data_version"), self._connection.total_changes

    def image_count(self) -> int:
        """Return how many images have a file, counted again only when somebody has written."""
        version: int = self._value("PRAGMA data_version")
        if self._counted is None or self._counted[0] != version:
            self._counted = version, self.counts()[1]
        return self._counted[1]


def open_reader(collection: Collection) -> StoreReader:
    """Open a collection for reading, whichever store holds it.

    Raises:
        CollectionNotFound: Nothing was indexed there yet.
        CollectionFormatError: It is older or newer than this clipdex, or not a catalog.
        CollectionStorageError: It cannot be read.
    """
    if isinstance(collection, SharedCollection):
        return collection.open()
    return Catalog.open(collection)


@contextmanager
def writing(
    collection: Collection, purpose: str, wait: float | None = None
) -> Iterator[StoreWriter]:
    """Open a collection for writing, made or migrated if need be.

    A folder has one writer; a database several.

    Args:
        collection: The collection to write.
        purpose: What the writer does ("index", "forget"), for the message to others who wait.
        wait: Seconds to wait for other writers; None for what suits a command: not at all for the
            only writer of a folder, and a minute for what commits to a database.

    Raises:
        CollectionLocked: Another process is writing; the message names it.
        CollectionFormatError: It is newer than this clipdex, or not a catalog.
        CollectionStorageError: It cannot be written, or the disk is full.
    """
    if isinstance(collection, SharedCollection):
        with collection.writing(wait) as store:
            yield store
        return
    place = str(collection.folder)
    with (
        writer_lock(collection, purpose, wait or 0.0),
        closing(Catalog(connect_writer(collection.catalog, place))) as catalog,
    ):
        yield catalog


@contextmanager
def write_transaction(
    collection: Collection, purpose: str, wait: float | None = None
) -> Iterator[StoreWriter]:
    """Open an existing collection as `writing` does, in one transaction.

    Raises:
        CollectionNotFound: Nothing was indexed there yet.
    """
    collection.require()
    with writing(collection, purpose, wait) as catalog, catalog.transaction():
        yield catalog
