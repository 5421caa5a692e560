"""Which contents have a vector already, asked from decoder threads."""

import threading
from typing import Self

from .catalogue import Catalogue
from .collection import Collection


class Lookup:
    """A connection of its own, so that decoders neither wait for commits nor see half of one."""

    def __init__(self, collection: Collection, fingerprint: str) -> None:
        self._catalogue = Catalogue.open(collection)
        self._fingerprint = fingerprint
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._catalogue.close()

    def known(self, digest: bytes) -> bool:
        """Whether this content's vector of the fingerprint is committed."""
        with self._lock:
            row = self._catalogue.connection.execute(
                "SELECT 1 FROM contents JOIN embeddings ON content = id "
                "WHERE hash = ? AND fingerprint = ?",
                (digest, self._fingerprint),
            ).fetchone()
        return row is not None
