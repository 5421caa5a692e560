"""Psycopg's and PostgreSQL's errors in clipdex's words: what happened, why, what to do."""

import psycopg
from psycopg import errors

from indexer.errors import (
    CollectionChanged,
    CollectionError,
    CollectionFormatError,
    CollectionLocked,
    CollectionNotFound,
    CollectionStorageError,
)

from .address import Address

MISSING = (errors.UndefinedTable, errors.UndefinedColumn, errors.InvalidSchemaName)


class ConnectionLost(CollectionStorageError):
    """A connection ended while it was used."""


def reason(error: BaseException, address: Address) -> str:
    """Return what the server or libpq says, in one line and without a password."""
    primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    lines = (primary or str(error)).strip().splitlines()
    text = " ".join(line.strip() for line in lines if line.strip()) or type(error).__name__
    return address.without_secrets(text)


def not_connected(error: psycopg.Error, address: Address) -> CollectionError:
    """Return the error of a connection that could not be made."""
    said, place = reason(error, address), address.shown
    lowered = said.lower()
    if isinstance(error, errors.InvalidPassword | errors.InvalidAuthorizationSpecification) or any(
        part in lowered
        for part in ("password authentication failed", "no password supplied", "role ")
    ):
        return CollectionStorageError(
            f"{place} does not let this user in ({said}). Check the user and the password: in "
            "$PGPASSWORD, in ~/.pgpass or in the URL"
        )
    if "database" in lowered and "does not exist" in lowered:
        return CollectionNotFound(
            f"{place} names a database that is not there ({said}). Have its administrator create "
            "it, or name another --collection"
        )
    if any(part in lowered for part in ("invalid uri", "invalid connection option", "uri query")):
        return CollectionError(
            f"{place} is not a URL that libpq takes ({said}). It is written "
            "postgresql://user@host/database?schema=NAME"
        )
    if "certificate" in lowered or "ssl" in lowered:
        return CollectionStorageError(
            f"no safe connection to {place} ({said}). Check sslmode, sslrootcert and the server's "
            "certificate"
        )
    if "too many" in lowered or "remaining connection slots" in lowered:
        return CollectionStorageError(
            f"{place} takes no more connections ({said}). Wait, or raise its max_connections"
        )
    return CollectionStorageError(
        f"{place} cannot be reached ({said}). Check host and port, and that the server runs"
    )


def translation(error: psycopg.Error, address: Address) -> CollectionError:
    """Return the error of a statement."""
    said, place = reason(error, address), address.shown
    if isinstance(error, MISSING):
        return CollectionNotFound(
            f"no collection at {place}: nothing was indexed yet, or it was removed ({said}). Run "
            "`clipdex index FOLDER` first"
        )
    if isinstance(error, errors.InsufficientPrivilege | errors.ReadOnlySqlTransaction):
        return CollectionStorageError(
            f"this role may not do that in {place} ({said}). Connect as one that may write, or "
            "have its owner grant it: docs/scaling.md has the roles"
        )
    if isinstance(error, errors.DiskFull | errors.OutOfMemory | errors.ConfigurationLimitExceeded):
        return CollectionStorageError(
            f"the server of {place} is out of room ({said}). What was committed is kept: free some "
            "space there and run the same command again"
        )
    if isinstance(error, errors.LockNotAvailable | errors.DeadlockDetected):
        return CollectionLocked(
            f"another program holds what this one needs in {place} ({said}). Wait until it ends "
            "and run the same command again"
        )
    if isinstance(error, errors.ForeignKeyViolation):
        return CollectionChanged(
            f"another writer removed from {place} what this one was about to use ({said}). Run the "
            "same command again"
        )
    if isinstance(error, errors.QueryCanceled):
        return CollectionStorageError(
            f"the server of {place} gave up on a statement ({said}). Raise its statement_timeout "
            "for this role"
        )
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return ConnectionLost(
            f"the connection to {place} was lost ({said}). What was committed is kept: run the "
            "same command again"
        )
    return CollectionFormatError(
        f"the catalog in {place} is damaged or not clipdex's ({said}). Restore it from a backup, "
        "or index the photos into another --collection"
    )
