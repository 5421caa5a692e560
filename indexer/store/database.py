"""SQLite under the catalog: connections, and its errors in clipdex's words."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from indexer.errors import (
    CollectionFormatError,
    CollectionLocked,
    CollectionNotFound,
    CollectionStorageError,
)

from .schema import MIGRATIONS, OVERLAYS, check_version, migrate, version_of

# How long a statement waits for another program that has locked the file.
LOCK_SECONDS = 10.0


def connect_writer(path: Path, place: str) -> sqlite3.Connection:
    """Return a connection that writes, creating or migrating the catalog if need be.

    Args:
        path: The catalog's file.
        place: The collection's folder, for errors.

    Raises:
        CollectionFormatError: The catalog is newer than this clipdex.
    """
    connection = _connect(path, "mode=rwc")
    with _closed_on_error(connection):
        check_version(connection, place)
        if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise CollectionStorageError(
                f"the file system under {place} cannot hold a write-ahead log. Name a place on "
                "a local disk with --collection"
            )
        connection.execute("PRAGMA synchronous = NORMAL")
        migrate(connection)
    return connection


def connect_reader(path: Path, place: str) -> sqlite3.Connection:
    """Return a connection that only reads.

    On a read-only disk, where SQLite cannot create a log, it reads the file as it is. A catalog of
    the format before is read as it is too.

    Raises:
        CollectionFormatError: The catalog is older or newer than this clipdex.
    """
    connection = _readable(path)
    with _closed_on_error(connection):
        check_version(connection, place)
        version = version_of(connection)
        if version == 0:  # made this moment by the first index run, whose tables come next
            raise CollectionNotFound(f"the collection at {place} is empty: nothing was indexed yet")
        if version in OVERLAYS:
            connection.executescript(OVERLAYS[version])
        elif version < len(MIGRATIONS):
            raise CollectionFormatError(
                f"{place} has an older format. Run `clipdex index` on it once"
            )
        connection.execute("PRAGMA query_only = ON")
    return connection


def _readable(path: Path) -> sqlite3.Connection:
    for mode in ("mode=rw", "mode=ro"):
        connection = _connect(path, mode)
        with suppress(sqlite3.OperationalError), _closed_on_error(connection):
            version_of(connection)
            return connection
    return _connect(path, "immutable=1")


@contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}",
        uri=True,
        timeout=LOCK_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Translate SQLite's errors inside.

    Raises:
        CollectionStorageError: The disk is full, or the catalog cannot be used.
        CollectionLocked: Another program has locked the catalog.
        CollectionFormatError: The catalog is damaged.
    """
    try:
        yield
    except sqlite3.OperationalError as exc:
        text = str(exc)
        if "full" in text or "disk I/O" in text:
            raise CollectionStorageError(
                f"the disk under {place} is full ({text}). What was committed is kept: free some "
                "space and run the same command again"
            ) from exc
        if "locked" in text:
            raise CollectionLocked(
                f"another program has locked the catalog in {place} ({text}). Close it and run "
                "the same command again"
            ) from exc
        if "readonly" in text:
            raise CollectionStorageError(
                f"cannot write to {place}: it is read-only for this user. Index as its owner, or "
                "name another place with --collection"
            ) from exc
        raise CollectionStorageError(f"cannot use the catalog in {place}: {text}") from exc
    except sqlite3.DatabaseError as exc:
        raise CollectionFormatError(
            f"the catalog in {place} is damaged or not a database ({exc}). Restore it from a "
            "backup, or remove the folder and index again"
        ) from exc
