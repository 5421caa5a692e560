"""SQLite under the catalog: connections, and its errors in clipdex's words.

Every statement passes `Connection`, whichever command it is for. So SQLite's errors are translated
here, those that come while rows are fetched too, and a value of a kind that its column never has is
damage as well: SQLite itself takes any value in any column.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from indexer.errors import (
    CollectionChanged,
    CollectionError,
    CollectionFormatError,
    CollectionLocked,
    CollectionNotFound,
    CollectionStorageError,
)
from indexer.notices import say

from .schema import MIGRATIONS, OVERLAYS, check_version, migrate, version_of

if TYPE_CHECKING:  # a search from the command line has no use for it
    import tempfile

# How long a statement waits for another program that has locked the file.
LOCK_SECONDS = 10.0
# A disk with less room than this is full: SQLite reports some of its failures as "disk I/O error".
LEAST_ROOM = 1 << 20
# SQLite's paths have 512 bytes, those of its journals included.
MAX_PATH = 512 - len("/catalogue.sqlite3-journal") - 1
# How often a catalog that changes while it is copied is copied again.
MAX_COPIES = 3

# The kinds of value that clipdex writes into columns; None where a row may have nothing.
_NUMBER, _TEXT, _BYTES = (int,), (str,), (bytes,)
_OPTIONAL = type(None)
KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "root", "width", "height", "size", "mtime_ns", "generation"), _NUMBER),
    **dict.fromkeys(("vectors", "bytes", "dim", "active", "pending", "value", "paths"), _NUMBER),
    **dict.fromkeys(("content", "taken_at", "taken_offset", "camera"), (int, _OPTIONAL)),
    **dict.fromkeys(("path", "hash", "vector", "base", "pattern"), _BYTES),
    **dict.fromkeys(("sketch", "digests"), (bytes, _OPTIONAL)),
    **dict.fromkeys(("format", "label", "origin", "kind", "name", "fingerprint"), _TEXT),
    **dict.fromkeys(("note", "reason", "body", "lens"), (str, _OPTIONAL)),
    "probability": (float,),
}

P = ParamSpec("P")
T = TypeVar("T")

Signature = tuple[tuple[int, ...] | None, ...]
"""What tells one state of a file and its log from another, without reading them."""


class _Cursor(sqlite3.Cursor):
    """A cursor that raises clipdex's errors, and checks the kinds of what it fetches."""

    connection: "Connection"

    def __init__(self, connection: "Connection") -> None:
        super().__init__(connection)
        self._accepted: set[tuple[type, ...]] = set()
        self.row_factory = _checked  # type: ignore[assignment]  # it is called with this cursor

    def execute(self, *arguments: Any) -> Self:
        with self.connection.translating():
            super().execute(*arguments)
        return self

    def executemany(self, *arguments: Any) -> Self:
        with self.connection.translating():
            super().executemany(*arguments)
        return self

    def executescript(self, script: str) -> Self:
        with self.connection.translating():
            super().executescript(script)
        return self

    def fetchone(self) -> Any:
        with self.connection.translating():
            return super().fetchone()

    def fetchmany(self, size: int | None = None) -> list[Any]:
        with self.connection.translating():
            return super().fetchmany(self.arraysize if size is None else size)

    def fetchall(self) -> list[Any]:
        with self.connection.translating():
            return super().fetchall()

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except sqlite3.Error as exc:
            raise self.connection.translation(exc) from exc


def _checked(cursor: _Cursor, row: tuple[Any, ...]) -> tuple[Any, ...]:
    kinds = tuple(map(type, row))
    if kinds not in cursor._accepted:
        for (name, *_), kind in zip(cursor.description, kinds, strict=True):
            if kind not in KINDS.get(name, (kind,)):
                found = "nothing" if kind is _OPTIONAL else kind.__name__
                raise damaged(cursor.connection.place, f"{found} where a {name} belongs")
        cursor._accepted.add(kinds)
    return row


class Connection(sqlite3.Connection):
    """A connection to a catalog.

    Attributes:
        path: The catalog's file.
        place: The collection's folder, for errors.
        follows: Whether it sees what others commit. If not, it sees the file as it was: read
            without a log, or copied.
    """

    path: Path
    place: str
    follows = True
    _opened: Signature = ()
    _copy: "tempfile.TemporaryDirectory[str] | None" = None

    def cursor(self, factory: Any = None) -> _Cursor:  # type: ignore[override]
        """Return a cursor that translates errors and checks what it fetches."""
        # Made by itself it would stay in sqlite3's list of the connection's cursors for good.
        return super().cursor(_Cursor)  # type: ignore[arg-type]  # it is called with this

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        """Execute a statement; sqlite3's own shortcut would make a cursor of another kind."""
        return self.cursor().execute(*arguments)

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        """Execute a statement for each of several rows."""
        return self.cursor().executemany(*arguments)

    def executescript(self, script: str) -> sqlite3.Cursor:
        """Execute several statements."""
        return self.cursor().executescript(script)

    def close(self) -> None:
        """Close the connection, and remove the copy that it read."""
        super().close()
        if self._copy is not None:
            self._copy.cleanup()

    @property
    def is_current(self) -> bool:
        """Whether what it sees is what lies at its path now."""
        return self._opened == _signature(self.path, whole=not self.follows)

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Translate SQLite's errors inside."""
        try:
            yield
        except sqlite3.Error as exc:
            raise self.translation(exc) from exc

    def translation(self, error: sqlite3.Error) -> CollectionError:
        """Return an error of SQLite in clipdex's words."""
        if not (self.follows or self.is_current):
            return changed(self.place)
        return translation(error, self.place)


def connect_writer(path: Path, place: str) -> Connection:
    """Return a connection that writes, creating or migrating the catalog if need be.

    A catalog of an older format is copied before it is migrated.

    Args:
        path: The catalog's file.
        place: The collection's folder, for errors.

    Raises:
        CollectionFormatError: The catalog is newer than this clipdex, or damaged.
        CollectionStorageError: It cannot be written, or the disk is full.
    """
    _require_content(path, place)
    if not path.exists() and any((path.parent / "vectors").glob("*.faiss")):
        say(f"{place} has vectors and no catalog: it was removed, and a new one is begun")
    connection = _connect(path, place, "mode=rwc")
    with _closed_on_error(connection):
        check_version(connection, place)
        if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise CollectionStorageError(
                f"the file system under {place} cannot hold a write-ahead log. Name a place on "
                "a local disk with --collection"
            )
        connection.execute("PRAGMA synchronous = NORMAL")
        version = version_of(connection)
        if 0 < version < len(MIGRATIONS):
            kept = _keep_copy(connection, version)
            migrate(connection)
            say(
                f"the catalog in {place} was brought from format {version} to {len(MIGRATIONS)}; "
                f"as it was, it is kept in {kept.name} there"
            )
        migrate(connection)
        connection._opened = _signature(path, whole=False)
    return connection


def connect_reader(path: Path, place: str) -> Connection:
    """Return a connection that only reads.

    A catalog of the formats before is read as it is.

    Raises:
        CollectionFormatError: The catalog is older or newer than this clipdex, or damaged.
        CollectionStorageError: It cannot be read.
    """
    _require_content(path, place)
    connection = _readable(path, place)
    with _closed_on_error(connection):
        check_version(connection, place)
        version = version_of(connection)
        if version == 0:  # made this moment by the first index run, whose tables come next
            raise CollectionNotFound(f"the collection at {place} is empty: nothing was indexed yet")
        if version in OVERLAYS:
            connection.executescript(OVERLAYS[version])
        elif version < len(MIGRATIONS):
            raise CollectionFormatError(
                f"{place} has the older format {version}. Run `clipdex migrate --collection "
                f"{place}` once; it needs none of the photos, and keeps a copy"
            )
        connection.execute("PRAGMA query_only = ON")
    return connection


def format_of(path: Path, place: str) -> int:
    """Return the number of a catalog's format.

    Raises:
        CollectionFormatError: It is not a catalog.
        CollectionStorageError: It cannot be read.
    """
    _require_content(path, place)
    connection = _readable(path, place)
    try:
        return version_of(connection)
    finally:
        connection.close()


def format_copies(path: Path) -> list[Path]:
    """Return the copies of a catalog that were kept before it was migrated."""
    return sorted(path.parent.glob(f"{path.name}.format-*"))


def _keep_copy(connection: Connection, version: int) -> Path:
    """Copy a catalog as it is now, and return where the copy lies."""
    path = connection.path
    kept = path.with_name(f"{path.name}.format-{version}")
    unfinished = path.with_name(f"{path.name}.copying")
    try:
        unfinished.unlink(missing_ok=True)
        target = sqlite3.connect(unfinished)
        try:
            with connection.translating():
                connection.backup(target)
        finally:
            target.close()
        os.replace(unfinished, kept)
    except (CollectionError, OSError) as exc:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise CollectionStorageError(
            f"cannot copy the catalog in {connection.place}, which comes before its format is "
            f"changed ({exc}). Nothing was changed: free some space and run the same command again"
        ) from exc
    return kept


def _require_content(path: Path, place: str) -> None:
    """Check that a catalog was not emptied.

    One that a first run is making has no bytes for a moment, but no vectors either.

    Raises:
        CollectionFormatError: It has no bytes, and its vectors lie beside it.
    """
    state = _signature(path, whole=True)
    empty = state[0] is not None and state[0][2] == 0 and state[1] is None
    if empty and any((path.parent / "vectors").glob("*.faiss")):
        raise damaged(place, "it has 0 bytes, and vectors of its images lie beside it")


def _readable(path: Path, place: str) -> Connection:
    """Connect to a catalog in a way that shows its newest state.

    SQLite keeps a log (-wal) and a list of what is in it (-shm) beside the file, and needs both to
    read, also where it may not make them. Without a log, the file alone is the newest state until
    something changes; with a log that cannot be read in its place, a copy of both is read.
    """
    for _ in range(MAX_COPIES):
        connection = _connect(path, place, "mode=rw")
        connection._opened = _signature(path, whole=False)
        try:
            version_of(connection)
            return connection
        except CollectionStorageError:
            connection.close()
        except BaseException:
            connection.close()
            raise
        before = _signature(path, whole=True)
        if before[0] is None:
            raise CollectionNotFound(f"no collection at {place}: it was removed")
        try:
            with open(path, "rb"):
                pass
            connection = (
                _connect(path, place, "immutable=1") if before[1] is None else _copied(path, place)
            )
        except OSError as exc:
            raise CollectionStorageError(
                f"cannot read the catalog in {place}: {exc.strerror or exc}"
            ) from exc
        connection.follows, connection._opened = False, before
        with suppress(CollectionChanged), _closed_on_error(connection):
            version_of(connection)
            if connection.is_current:
                return connection
            raise changed(place)
    raise changed(place)


def _copied(path: Path, place: str) -> Connection:
    """Connect to a copy of a catalog and its log.

    Raises:
        OSError: One cannot be read, or there is no room for the copy.
    """
    import shutil
    import tempfile
    from datetime import datetime

    folder = tempfile.TemporaryDirectory(prefix="clipdex-")
    copy = Path(folder.name) / path.name
    try:
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{path}{suffix}", f"{copy}{suffix}")
        connection = _connect(copy, place, "mode=rw")
    except BaseException:
        folder.cleanup()
        raise
    connection.path, connection._copy = path, folder
    say(
        f"{place} has a log that cannot be read in its place without the right to write there: a "
        f"copy of the catalog is read, as it is at {datetime.now():%H:%M:%S}; any later state is "
        "copied when it is seen"
    )
    return connection


def _signature(path: Path, *, whole: bool) -> Signature:
    """Return which file lies at a path and, if `whole`, its state and that of its log."""
    found: list[tuple[int, ...] | None] = []
    for name in (path, f"{path}-wal") if whole else (path,):
        try:
            info = os.stat(name)
        except OSError:
            found.append(None)
            continue
        identity: tuple[int, ...] = (info.st_dev, info.st_ino)
        if whole:
            identity += (info.st_size, info.st_mtime_ns, info.st_ctime_ns)
        # A log without content is as good as none.
        found.append(identity if info.st_size or name is path else None)
    return tuple(found)


@contextmanager
def _closed_on_error(connection: Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _connect(path: Path, place: str, mode: str) -> Connection:
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?{mode}",
            uri=True,
            timeout=LOCK_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            factory=Connection,
        )
    except sqlite3.Error as exc:
        raise translation(exc, place) from exc
    connection.path, connection.place = path, place
    return connection


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Translate SQLite's errors inside; those of a `Connection` are translated already.

    Raises:
        CollectionStorageError: The disk is full, or the catalog cannot be used.
        CollectionLocked: Another program has locked the catalog.
        CollectionFormatError: The catalog is damaged.
    """
    try:
        yield
    except sqlite3.Error as exc:
        raise translation(exc, place) from exc


def translation(error: sqlite3.Error, place: str) -> CollectionError:
    """Return an error of SQLite in clipdex's words."""
    name = getattr(error, "sqlite_errorname", None) or ""
    if name == "SQLITE_FULL" or (name.startswith("SQLITE_IOERR") and _room(place) < LEAST_ROOM):
        return CollectionStorageError(
            f"the disk under {place} is full ({error}). What was committed is kept: free some "
            "space and run the same command again"
        )
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return CollectionLocked(
            f"another program has locked the catalog in {place} ({error}). Close it and run "
            "the same command again"
        )
    if name.startswith("SQLITE_READONLY"):
        return CollectionStorageError(
            f"cannot write to {place}: it is read-only for this user. Index as its owner, or "
            "name another place with --collection"
        )
    length = len(os.fsencode(place))
    if name.startswith("SQLITE_CANTOPEN") and length > MAX_PATH:
        return CollectionStorageError(
            f"the path of {place} is too long for a catalog: {length} bytes, and SQLite takes "
            f"{MAX_PATH}. Name another place with --collection"
        )
    if name.startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_NOMEM")):
        return CollectionStorageError(
            f"the catalog in {place} cannot be read or written ({error}). Check the disk and the "
            "permissions of the folder, or name another --collection"
        )
    return damaged(place, str(error))


def damaged(place: str, what: str) -> CollectionFormatError:
    """Return the error of a catalog that is damaged; `what` says how that shows."""
    return CollectionFormatError(
        f"the catalog in {place} is damaged or not clipdex's ({what}). Restore it from a backup, "
        "or index the photos into another folder with --collection"
    )


def changed(place: str) -> CollectionChanged:
    """Return the error of a catalog that changed while it was read without its log."""
    return CollectionChanged(
        f"the collection in {place} was changed while it was read. Run the same command again"
    )


def until_unchanged(work: Callable[P, T]) -> Callable[P, T]:
    """Wrap a function that reads a collection so that it reads again what changed meanwhile."""

    @wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(MAX_COPIES - 1):
            with suppress(CollectionChanged):
                return work(*args, **kwargs)
        return work(*args, **kwargs)

    return run


def _room(place: str) -> int:
    try:
        import shutil

        return shutil.disk_usage(place).free
    except OSError:
        return LEAST_ROOM
