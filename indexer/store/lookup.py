"""Which contents have a vector already, asked from decoder threads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from indexer.encoder import Embeddings

from .catalog import open_reader
from .collection import Collection


@contextmanager
def lookup_where(collection: Collection, fingerprint: str) -> Iterator["Lookup | None"]:
    """Open what a collection holds of this fingerprint; None where there is no collection."""
    if not collection.exists:
        yield None
        return
    with Lookup(collection, fingerprint) as stored:
        yield stored


class Lookup:
    """A connection of its own, so that decoders neither wait for commits nor see half of one."""

    def __init__(self, collection: Collection, fingerprint: str) -> None:
        self._place = collection, fingerprint
        self._catalog = open_reader(collection)
        self._fingerprint = fingerprint
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._catalog.close()

    def __reduce__(self) -> tuple[type["Lookup"], tuple[Collection, str]]:
        """Travel to another process as a place: that one opens a connection of its own."""
        return Lookup, self._place

    def is_encoded(self, digest: bytes) -> bool:
        """Return whether nothing of this content has to be made any more."""
        with self._lock:
            return self._catalog.is_encoded(self._fingerprint, digest)

    def has_vector(self, digest: bytes) -> bool:
        """Return whether this content has a vector."""
        return self.vector(digest) is not None

    def vector(self, digest: bytes) -> Embeddings | None:
        """Return this content's vector `(dim,)`; None where it has none."""
        with self._lock:
            return self._catalog.embedding_by_digest(self._fingerprint, digest)
