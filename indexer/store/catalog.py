"""The catalog: one SQLite file that holds everything that cannot be computed again.

Write-ahead logging lets readers go on while one writer commits; a process killed at any moment
leaves the last whole transaction.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import numpy as np

from indexer.encoder import Embeddings, unit

from .codec import Halves, halves_of, unpacked
from .collection import Collection
from .database import open_reader, open_writer, translated

# SQLite's parameters a statement; ids are looked up in chunks of this many.
CHUNK = 500
Ids = Sequence[int]


@dataclass(frozen=True)
class Model:
    """An encoder that the catalog holds vectors of."""

    fingerprint: str
    name: str
    dim: int


@dataclass(frozen=True)
class Content:
    """One image: its files (raw absolute paths, oldest entry first) and its size in pixels.

    file_times: when each file last changed, in nanoseconds since 1970 UTC. capture_seconds,
    taken_offset: see `indexer.taken`.
    """

    id: int
    paths: tuple[bytes, ...]
    width: int
    height: int
    file_times: tuple[int, ...]
    capture_seconds: int | None
    taken_offset: int | None


class Catalog:
    """A connection to one collection's catalog."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    @classmethod
    def open(cls, collection: Collection, *, writable: bool = False) -> Self:
        """Open; with `writable`, create and migrate too.

        Raises CollectionNotFound, CollectionFormatError or CollectionStorageError.
        """
        place = str(collection.folder)
        if not writable:
            collection.require()
        with translated(place):
            if writable:
                return cls(open_writer(collection.catalog, place))
            return cls(open_reader(collection.catalog, place))

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the statements inside, or none."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """The statements inside read one state, whatever is committed meanwhile."""
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            self.connection.execute("COMMIT")

    # -- models and generations ----------------------------------------------------------------

    def active_model(self) -> Model | None:
        """The model whose vectors answer searches; None before the first index run."""
        row = self.connection.execute(
            "SELECT fingerprint, name, dim FROM models WHERE active"
        ).fetchone()
        return Model(*row) if row else None

    def activate(self, model: Model) -> None:
        """Make `model` the one that answers searches."""
        self.connection.execute("UPDATE models SET active = 0")
        self._enter(model, active=True)

    def prepare(self, model: Model) -> None:
        """Make `model` the one whose vectors are being filled in."""
        self.connection.execute("UPDATE models SET pending = 0")
        self._enter(model, active=False)

    def _enter(self, model: Model, *, active: bool) -> None:
        self.connection.execute(
            "INSERT INTO models (fingerprint, name, dim, active, pending) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (fingerprint) DO UPDATE SET name = excluded.name, "
            "active = excluded.active, pending = excluded.pending",
            (model.fingerprint, model.name, model.dim, active, not active),
        )

    def models(self) -> list[tuple[Model, str, int]]:
        """(model, "active", "pending" or "former", its vectors of images that have a file)."""
        rows = self.connection.execute(
            "SELECT fingerprint, name, dim, active, pending, (SELECT count(*) FROM embeddings "
            "JOIN contents ON contents.id = content WHERE embeddings.fingerprint = "
            "models.fingerprint AND paths > 0) FROM models ORDER BY active DESC, pending DESC"
        )
        return [
            (Model(*row[:3]), "active" if row[3] else "pending" if row[4] else "former", row[5])
            for row in rows
        ]

    def generation(self) -> int:
        """How many commits changed the embeddings so far."""
        row = self.connection.execute("SELECT value FROM state WHERE key = 'generation'")
        value: int = row.fetchone()[0]
        return value

    def next_generation(self) -> int:
        """Count one more; called once in each transaction that changes embeddings."""
        self.connection.execute("UPDATE state SET value = value + 1 WHERE key = 'generation'")
        return self.generation()

    # -- contents and embeddings ---------------------------------------------------------------

    def content_of(self, digest: bytes) -> int | None:
        """The id of the content with this hash."""
        row = self.connection.execute(
            "SELECT id FROM contents WHERE hash = ?", (digest,)
        ).fetchone()
        return row[0] if row else None

    def contents(self, ids: Ids) -> dict[int, Content]:
        """The contents of these ids that still have a file."""
        found: dict[int, Content] = {}
        for chunk in _chunks(ids):
            for content, width, height, root, path, changed, *taken in self.connection.execute(
                "SELECT contents.id, width, height, roots.path, files.path, mtime_ns, taken_at, "
                "taken_offset FROM files "
                "JOIN contents ON contents.id = files.content "
                "JOIN roots ON roots.id = files.root "
                f"WHERE files.content IN ({_marks(chunk)}) ORDER BY files.id",
                chunk,
            ):
                earlier = found.get(content)
                paths = (*(earlier.paths if earlier else ()), join(root, path))
                times = (*(earlier.file_times if earlier else ()), changed)
                found[content] = Content(content, paths, width, height, times, *taken)
        return found

    def without_paths(self) -> list[int]:
        """Contents whose files have all vanished: kept, but no hits."""
        return [
            row[0] for row in self.connection.execute("SELECT id FROM contents WHERE paths = 0")
        ]

    def embeddings(self, fingerprint: str) -> Iterator[tuple[np.ndarray, Embeddings]]:
        """(ids `(n,)` int64, vectors `(n, dim)`), a thousand at a time, oldest first."""
        for ids, halves in self.halves(fingerprint):
            yield ids, unit(halves)

    def halves(
        self, fingerprint: str, *, since: int = 0, chunk: int = 1024
    ) -> Iterator[tuple[np.ndarray, Halves]]:
        """(ids `(n,)`, vectors as they are kept) of generations after `since`, oldest first."""
        cursor = self.connection.execute(
            "SELECT content, vector FROM embeddings "
            "WHERE fingerprint = ? AND generation > ? ORDER BY generation, content",
            (fingerprint, since),
        )
        while rows := cursor.fetchmany(chunk):
            yield halves_of(rows)

    def embeddings_of(self, fingerprint: str, ids: Ids) -> dict[int, Embeddings]:
        """The vector `(dim,)` of each of these contents that has one."""
        found: dict[int, Embeddings] = {}
        for chunk in _chunks(ids):
            rows = self.connection.execute(
                "SELECT content, vector FROM embeddings "
                f"WHERE fingerprint = ? AND content IN ({_marks(chunk)})",
                (fingerprint, *chunk),
            ).fetchall()
            if rows:
                numbers, vectors = unpacked(rows)
                found.update(zip(numbers.tolist(), vectors, strict=True))
        return found

    def count_embeddings(self, fingerprint: str, *, since: int = 0) -> int:
        """How many vectors came in generations after `since`."""
        row = self.connection.execute(
            "SELECT count(*) FROM embeddings WHERE fingerprint = ? AND generation > ?",
            (fingerprint, since),
        )
        count: int = row.fetchone()[0]
        return count

    def tombstoned(self, *, since: int) -> list[int]:
        """Contents whose vectors were removed in generations after `since`."""
        return [
            row[0]
            for row in self.connection.execute(
                "SELECT content FROM tombstones WHERE generation > ?", (since,)
            )
        ]

    def copied(self) -> list[int]:
        """Contents that several files hold."""
        return [
            row[0]
            for row in self.connection.execute(
                "SELECT id FROM contents WHERE paths > 1 ORDER BY id"
            )
        ]

    def file_sizes(self, ids: Ids) -> dict[int, int]:
        """The size in bytes of the files that hold each of these contents."""
        found: dict[int, int] = {}
        for chunk in _chunks(ids):
            found.update(
                self.connection.execute(
                    "SELECT content, max(size) FROM files "
                    f"WHERE content IN ({_marks(chunk)}) GROUP BY content",
                    chunk,
                ).fetchall()
            )
        return found

    def without_sketch(self) -> int:
        """How many images an older clipdex indexed, which made no sketches."""
        row = self.connection.execute(
            "SELECT count(*) FROM contents WHERE paths > 0 AND sketch IS NULL"
        )
        count: int = row.fetchone()[0]
        return count

    # -- metadata for status ----------------------------------------------------------------------

    def counts(self) -> tuple[int, int, int]:
        """(files with a content, contents with a file, files that failed)."""
        row: tuple[int, int, int] = self.connection.execute(
            "SELECT (SELECT count(*) FROM files WHERE content IS NOT NULL),"
            " (SELECT count(*) FROM contents WHERE paths > 0),"
            " (SELECT count(*) FROM files WHERE reason IS NOT NULL)"
        ).fetchone()
        return row

    def failures(self) -> Iterator[tuple[bytes, str]]:
        """(absolute path, reason) of each file that could not be indexed."""
        for root, path, reason in self.connection.execute(
            "SELECT roots.path, files.path, reason FROM files "
            "JOIN roots ON roots.id = files.root WHERE reason IS NOT NULL "
            "ORDER BY roots.path, files.path"
        ):
            yield join(root, path), reason

    def roots(self) -> dict[int, bytes]:
        """The indexed folders by id."""
        return dict(self.connection.execute("SELECT id, path FROM roots ORDER BY path"))


def join(root: bytes, path: bytes) -> bytes:
    """The absolute path of a file of a root."""
    return os.path.join(root, path)


def _chunks(ids: Ids) -> Iterator[list[int]]:
    for start in range(0, len(ids), CHUNK):
        yield [int(number) for number in ids[start : start + CHUNK]]


def _marks(chunk: Sequence[object]) -> str:
    return ", ".join("?" * len(chunk))
