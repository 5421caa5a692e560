"""Which contents have a vector already, asked from decoder threads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from indexer.encoder import Embeddings

from .catalog import Catalog
from .codec import unpacked
from .collection import Collection
from .database import translated


@contextmanager
def lookup_where(collection: Collection, fingerprint: str) -> Iterator["Lookup | None"]:
    """What a collection holds of this fingerprint; None where there is no collection."""
    if not collection.exists:
        yield None
        return
    with translated(str(collection.folder)), Lookup(collection, fingerprint) as stored:
        yield stored


class Lookup:
    """A connection of its own, so that decoders neither wait for commits nor see half of one."""

    def __init__(self, collection: Collection, fingerprint: str) -> None:
        self._place = collection, fingerprint
        self._catalog = Catalog.open(collection)
        self._fingerprint = fingerprint
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._catalog.close()

    def __reduce__(self) -> tuple[type["Lookup"], tuple[Collection, str]]:
        """Sent to another process as its place: that one opens a connection of its own."""
        return Lookup, self._place

    def known(self, digest: bytes) -> bool:
        """Whether this content's vector of the fingerprint is committed."""
        return self._row("1", digest) is not None

    def indexed(self, digest: bytes) -> bool:
        """Whether nothing of this content has to be made any more: neither vector nor sketch."""
        return self._row("1", digest, "AND sketch IS NOT NULL") is not None

    def vector(self, digest: bytes) -> Embeddings | None:
        """This content's vector `(dim,)` of the fingerprint."""
        row = self._row("content, vector", digest)
        return None if row is None else unpacked([row])[1][0]

    def _row(self, columns: str, digest: bytes, condition: str = "") -> Any:
        with self._lock:
            return self._catalog.connection.execute(
                f"SELECT {columns} FROM contents JOIN embeddings ON content = id "
                f"WHERE hash = ? AND fingerprint = ? {condition}",
                (digest, self._fingerprint),
            ).fetchone()
