"""Connections to a shared collection, alone or from a pool, and statements over them.

Every statement passes `Session`, which writes its parameters as psycopg wants them and translates
errors. Readers connect again after a connection was lost; writers do not, since what they had begun
is lost with it.
"""

import atexit
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import lru_cache
from typing import Any, Protocol

import psycopg
import psycopg_pool
from psycopg import sql
from psycopg.pq import TransactionStatus

from indexer.errors import CollectionError, CollectionNotFound, CollectionStorageError

from . import halfvec, schema
from .address import Address
from .errors import MISSING, ConnectionLost, not_connected, translation

Connection = psycopg.Connection[Any]
Cursor = psycopg.Cursor[Any]

# How long a connection may take to be made, unless the URL says so; and how long one is waited for.
CONNECT_SECONDS = 10
POOL_SECONDS = 10.0
# How often it is asked meanwhile why none could be made.
LOOK_SECONDS = 0.5
APPLICATION = "clipdex"
# Iterative scans came with 0.8.
LEAST_EXTENSION = (0, 8)

EXTENSION = (
    "SELECT extversion, nspname, to_regtype(format('%I.halfvec', nspname))::oid, "
    "to_regtype(format('%I.vector', nspname))::oid FROM pg_extension "
    "JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'vector'"
)


def connect_reader(address: Address) -> Connection:
    """Return a connection that only reads a collection.

    Raises:
        CollectionNotFound: Nothing was indexed there yet.
        CollectionFormatError: It is older or newer than this clipdex.
        CollectionStorageError: The server cannot be reached, or does not let this user in.
    """
    connection = _connect(address)
    with _closed_on_error(connection, address):
        connection.execute("SET default_transaction_read_only = on")
        extension = connection.execute(EXTENSION).fetchone()
        if extension is None:
            raise _nothing(address)
        _set_up(connection, address, extension)
        try:
            row = connection.execute(schema.VERSION).fetchone()
        except MISSING as exc:
            raise _nothing(address, may_look=_may_look(connection, address)) from exc
        schema.check_readable(int(row[0]) if row else 0, address)
    return connection


def connect_writer(address: Address) -> Connection:
    """Return a connection that writes a collection, which is made or migrated if need be.

    Raises:
        CollectionFormatError: It is newer than this clipdex.
        CollectionStorageError: The server cannot be reached, does not let this user in or write, or
            has no pgvector.
    """
    connection = _connect(address)
    with _closed_on_error(connection, address):
        row = connection.execute(
            "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean"
        ).fetchone()
        if row and row[0]:
            raise CollectionStorageError(
                f"{address.shown} can only be read: it is a standby, or set to be read-only. Write "
                "to the primary server"
            )
        extension = connection.execute(EXTENSION).fetchone() or _extension(connection, address)
        there = connection.execute(
            "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %s)", (address.schema,)
        ).fetchone()
        if there is not None and not there[0]:
            made = sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(address.schema))
            with suppress(psycopg.errors.UniqueViolation):  # another writer makes it, too
                connection.execute(made)
        _set_up(connection, address, extension)
        try:
            row = connection.execute(schema.VERSION).fetchone()
            version = int(row[0]) if row else 0
        except MISSING:
            version = 0
        schema.check_version(version, address)
        if version < len(schema.MIGRATIONS):
            schema.migrate(connection, address)
    return connection


def is_there(address: Address) -> bool:
    """Return whether a collection was made at an address.

    Raises:
        CollectionStorageError: The server cannot be reached, or does not let this user in.
    """
    connection = _connect(address)
    with _closed_on_error(connection, address):
        row = connection.execute(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_tables "
            "WHERE schemaname = %s AND tablename = 'migrations')",
            (address.schema,),
        ).fetchone()
    connection.close()
    return bool(row and row[0])


def format_of(address: Address) -> int:
    """Return the number of the last migration that was applied; 0 where there is none.

    Raises:
        CollectionStorageError: The server cannot be reached, or does not let this user in.
    """
    if not is_there(address):
        return 0
    connection = _connect(address)
    with _closed_on_error(connection, address):
        connection.execute(sql.SQL("SET search_path = {}").format(sql.Identifier(address.schema)))
        row = connection.execute(schema.VERSION).fetchone()
    connection.close()
    return int(row[0]) if row else 0


def _connect(address: Address) -> Connection:
    usual: dict[str, Any] = {"fallback_application_name": APPLICATION, "autocommit": True}
    if "connect_timeout" not in address.url:
        usual["connect_timeout"] = CONNECT_SECONDS
    try:
        return psycopg.connect(address.url, **usual)
    except psycopg.Error as exc:
        raise not_connected(exc, address) from exc


def _extension(connection: Connection, address: Address) -> Any:
    """Make the extension, and return what is to be known of it."""
    try:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except psycopg.errors.InsufficientPrivilege as exc:
        raise CollectionStorageError(
            f"the database of {address.shown} has no extension vector, and this role may not "
            "create it. Have its administrator run CREATE EXTENSION vector there"
        ) from exc
    except psycopg.errors.FeatureNotSupported as exc:
        raise CollectionStorageError(
            f"the server of {address.shown} does not have pgvector. Install it there (0.8 or "
            "later), and have its administrator run CREATE EXTENSION vector"
        ) from exc
    except (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateObject):
        pass  # another writer has made it at the same time
    return connection.execute(EXTENSION).fetchone()


def _set_up(connection: Connection, address: Address, extension: Any) -> None:
    version, place, half, full = extension
    if tuple(int(part) for part in version.split(".")[:2]) < LEAST_EXTENSION:
        raise CollectionStorageError(
            f"the database of {address.shown} has pgvector {version}, and clipdex needs 0.8 or "
            "later. Have its administrator run ALTER EXTENSION vector UPDATE"
        )
    halfvec.register(connection, half, full)
    path = sql.SQL("SET search_path = {}, {}")
    connection.execute(path.format(sql.Identifier(address.schema), sql.Identifier(place)))


def _may_look(connection: Connection, address: Address) -> bool:
    """Return whether a role may use the schema; True where there is none."""
    row = connection.execute(
        "SELECT bool_and(has_schema_privilege(oid, 'USAGE')) FROM pg_namespace WHERE nspname = %s",
        (address.schema,),
    ).fetchone()
    return row is None or row[0] is not False


def _nothing(address: Address, *, may_look: bool = True) -> CollectionError:
    if not may_look:
        return CollectionStorageError(
            f"this role may not look into {address.shown}. Have the owner of the schema grant it: "
            "docs/scaling.md has the roles"
        )
    return CollectionNotFound(
        f"no collection at {address.shown}: nothing was indexed yet. Run `clipdex index FOLDER` "
        "first, or name another place with --collection"
    )


@contextmanager
def _closed_on_error(connection: Connection, address: Address) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as exc:
        connection.close()
        raise translation(exc, address) from exc
    except BaseException:
        connection.close()
        raise


class Source(Protocol):
    """Where a session has its connection from."""

    def take(self) -> Connection:
        """Return a connection that works, as far as is known."""

    def give(self, connection: Connection) -> None:
        """Give it back."""

    def renew(self) -> bool:
        """Connect again after a connection was lost; return whether that can be done."""

    def close(self) -> None:
        """Let go of what is kept."""


class Single:
    """One connection, kept until the end; a reader's is made again after it was lost."""

    def __init__(self, address: Address, connection: Connection, *, again: bool) -> None:
        self._address = address
        self._connection = connection
        self._again = again

    def take(self) -> Connection:
        """Return the connection."""
        return self._connection

    def give(self, connection: Connection) -> None:
        """Keep it."""

    def renew(self) -> bool:
        """Connect again, if this is a reader's."""
        if self._again:
            self._connection.close()
            self._connection = connect_reader(self._address)
        return self._again

    def close(self) -> None:
        """Close it."""
        self._connection.close()


class Pool:
    """Connections that the readers of one process share."""

    def __init__(self, address: Address, size: int) -> None:
        self._address = address
        self._error: CollectionError | None = None
        self._pool = psycopg_pool.ConnectionPool(
            connection_class=self._connecting(),
            min_size=0,
            max_size=size,
            open=True,
            reconnect_timeout=0.1,  # the next question asks a server that is away again
            name=APPLICATION,
        )
        atexit.register(self._pool.close)

    def take(self) -> Connection:
        """Return a free connection, or a new one."""
        self._error = None
        deadline = time.monotonic() + POOL_SECONDS
        while True:
            try:
                return self._pool.getconn(timeout=LOOK_SECONDS)
            except psycopg_pool.PoolTimeout as exc:
                # psycopg_pool would only say, and only at the end, that none was to be had.
                if self._error is not None:
                    raise self._error from exc
                if time.monotonic() > deadline:
                    raise CollectionStorageError(
                        f"no connection to {self._address.shown} was free within "
                        f"{POOL_SECONDS:.0f} s. Ask again later, or answer fewer clients at once"
                    ) from exc

    def give(self, connection: Connection) -> None:
        """Give a connection back; a broken one is thrown away."""
        self._pool.putconn(connection)

    def renew(self) -> bool:
        """Throw away all connections that were lost."""
        self._pool.check()
        return True

    def close(self) -> None:
        """Leave the pool to the other readers of this process."""

    def _connecting(self) -> type[Connection]:
        pool = self

        class Pooled(psycopg.Connection[Any]):
            @classmethod
            def connect(cls, *_: Any, **__: Any) -> Any:
                try:
                    connection = connect_reader(pool._address)
                except CollectionError as exc:
                    pool._error = exc
                    raise
                pool._error = None
                return connection

        return Pooled


_pools: dict[Address, Pool] = {}
_pools_lock = threading.Lock()


def pool_of(address: Address, size: int) -> Pool:
    """Return the pool of this process for an address, made once."""
    with _pools_lock:
        if address not in _pools:
            # The pool's own attempts would say only that they failed.
            connect_reader(address).close()
            _pools[address] = Pool(address, size)
        return _pools[address]


class Session:
    """Statements over a source's connections, with `?` for each parameter as in SQLite's."""

    def __init__(self, source: Source, address: Address) -> None:
        self._source = source
        self.address = address
        self._held: Connection | None = None

    def close(self) -> None:
        """Let go of the connection."""
        self._source.close()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Yield a connection, the one of `held` inside it; its errors are translated."""
        if self._held is not None:
            with self._translating():
                yield self._held
            return
        connection = self._source.take()
        try:
            with self._translating():
                yield connection
        finally:
            self._source.give(connection)

    @contextmanager
    def held(self) -> Iterator[Connection]:
        """Have all statements inside go over one connection."""
        with self.connection() as connection:
            self._held, before = connection, self._held
            try:
                yield connection
            finally:
                self._held = before
                if connection.info.transaction_status is TransactionStatus.INERROR:
                    connection.rollback()

    def execute(self, statement: str, parameters: Sequence[object] = ()) -> Cursor:
        """Execute a statement; the cursor's rows are here already."""
        try:
            return self._execute(statement, parameters)
        except ConnectionLost:
            if self._held is not None or not self._source.renew():
                raise
        return self._execute(statement, parameters)

    def _execute(self, statement: str, parameters: Sequence[object]) -> Cursor:
        with self.connection() as connection:
            cursor = connection.cursor(binary=True)
            return cursor.execute(_written(statement), tuple(parameters))

    def executemany(self, statement: str, rows: Iterable[Sequence[object]]) -> Cursor:
        """Execute a statement for each of several rows; `rowcount` is that of all of them."""
        with self.connection() as connection:
            cursor = connection.cursor(binary=True)
            cursor.executemany(_written(statement), [tuple(row) for row in rows])
            return cursor

    def executescript(self, script: str) -> None:
        """Execute several statements."""
        with self.connection() as connection:
            connection.execute(script)

    def _translating(self) -> AbstractContextManager[None]:
        return _translated(self.address)


@contextmanager
def _translated(address: Address) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as exc:
        raise translation(exc, address) from exc


@lru_cache(maxsize=256)
def _written(statement: str) -> str:
    """Return a statement with psycopg's placeholders."""
    return statement.replace("%", "%%").replace("?", "%s")
