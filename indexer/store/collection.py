"""Where a collection lies, and what lies in it: a folder, or a schema of a PostgreSQL database.

catalogue.sqlite3          the only truth
vectors/<fingerprint>-<generation>.faiss   derived, immutable once published
writer.lock, writer.json   who is writing
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.errors import CollectionError, CollectionNotFound, CollectionStorageError
from indexer.user_folders import user_folder
from indexer.writable import obstacle

if TYPE_CHECKING:
    from indexer.encoder import Embeddings

    from .postgres.address import Address
    from .postgres.store import PostgresStore
    from .protocol import StoreReader, StoreWriter, VectorSearch
    from .records import Model

LOCAL_NAME = ".clipdex"
ENVIRONMENT = "CLIPDEX_COLLECTION"
# Connections of a pool beyond one a thread: for what is asked outside of searches.
SPARE = 2
NETWORK_FILESYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs", "fuse.rclone"}
)


@dataclass(frozen=True)
class Collection:
    """The folder of one index."""

    folder: Path

    @property
    def catalog(self) -> Path:
        """The SQLite file."""
        return self.folder / "catalogue.sqlite3"

    @property
    def vectors(self) -> Path:
        """The folder of FAISS files."""
        return self.folder / "vectors"

    @property
    def shown(self) -> str:
        """Where it is, for people."""
        return str(self.folder)

    def for_threads(self, count: int) -> "Collection":
        """Return the collection as so many threads of one process read it; here it is the same."""
        return self

    @property
    def was_removed(self) -> bool:
        """Whether what was open a moment ago is not there any more, as far as that is seen here."""
        return not self.exists

    @property
    def exists(self) -> bool:
        """Whether a catalog was made here."""
        return self.catalog.is_file()

    def require(self) -> None:
        """Raise CollectionNotFound if nothing was indexed yet."""
        if not self.exists:
            raise CollectionNotFound(
                f"no collection at {self.folder}: nothing was indexed yet. "
                "Run `clipdex index FOLDER` first, or name another place with --collection"
            )

    def require_writable(self) -> None:
        """Raise CollectionStorageError if nothing can be written here, before there is anything."""
        reason = obstacle(self.folder)
        if reason is not None:
            raise CollectionStorageError(
                f"cannot write to {self.folder}: {reason}. Name a writable place with --collection"
            )

    def create(self) -> None:
        """Make the folder, on a file system that SQLite's write-ahead log can live on."""
        try:
            self.vectors.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise CollectionStorageError(
                f"cannot make the collection folder {self.folder}: {exc.strerror or exc}. "
                "Name a writable place with --collection"
            ) from exc
        kind = filesystem_of(self.folder)
        if kind in NETWORK_FILESYSTEMS:
            raise CollectionStorageError(
                f"{self.folder} lies on a network file system ({kind}), which cannot hold the "
                "catalog safely. Keep the photos there and the collection on a local disk, "
                "named with --collection"
            )


class SharedCollection(Collection):
    """A collection in a PostgreSQL database, which several programs may write at once.

    What is of this user alone lies in `folder` on this machine, made where it is missing: the
    thumbnails of a server, which are made again, and what was learnt (heads, concepts).

    Attributes:
        address: Where the database is.
        pooled: How many connections the readers of this process share; 0 for one each.
    """

    address: "Address"
    pooled: int

    # A dataclass of its own would take a millisecond of every command's start.
    def __init__(self, folder: Path, address: "Address", pooled: int = 0) -> None:
        super().__init__(folder)
        object.__setattr__(self, "address", address)
        object.__setattr__(self, "pooled", pooled)

    @classmethod
    def at(cls, url: str) -> "SharedCollection":
        """Return the collection that a URL names.

        Raises:
            CollectionError: The URL is not one, or the package psycopg is missing.
        """
        from importlib.util import find_spec

        from .content_hash import digest
        from .postgres.address import Address

        address = Address.parse(url)
        if find_spec("psycopg") is None or find_spec("psycopg_pool") is None:
            raise CollectionError(
                f"{address.shown} needs the package psycopg, which is not installed: run "
                "`pip install 'clipdex[postgres]'`"
            )
        folder = user_folder("data", "set $XDG_DATA_HOME to a writable one") / "shared"
        return cls(folder / digest(address.key.encode()).hex(), address)

    @property
    def shown(self) -> str:
        """Where it is, for people: without a password."""
        return self.address.shown

    @property
    def was_removed(self) -> bool:
        """Nothing: a statement says so, and asking each time would cost a statement."""
        return False

    @property
    def exists(self) -> bool:
        """Whether a catalog was made there."""
        from .postgres.connections import is_there

        return is_there(self.address)

    def require(self) -> None:
        """Raise CollectionNotFound if nothing was indexed yet."""
        self.open().close()

    def require_writable(self) -> None:
        """Leave it to the first statement to find that nothing can be written."""

    @property
    def format(self) -> int:
        """The number of its format; 0 where nothing was indexed yet."""
        from .postgres.connections import format_of

        return format_of(self.address)

    def for_threads(self, count: int) -> "SharedCollection":
        """Return the collection with a pool of connections for so many threads of readers."""
        return SharedCollection(self.folder, self.address, count + SPARE)

    def create(self) -> None:
        """Leave it to the writer to make what is missing in the database."""

    def vectors_of(self, catalog: "StoreReader", model: "Model") -> "VectorSearch":
        """Open the vectors of a model for searches.

        Args:
            catalog: This collection, open.
            model: The model.
        """
        from .postgres.store import PostgresStore
        from .postgres.vectors import PostgresVectors

        assert isinstance(catalog, PostgresStore)
        return PostgresVectors.open(catalog, model.fingerprint, model.dim)

    def publish(
        self,
        catalog: "StoreWriter",
        fingerprint: str,
        dim: int,
        texts: "Embeddings",
        progress: Callable[[int, int], None] = lambda done, of: None,
    ) -> None:
        """Make the database's index of a model's vectors if it is due.

        Args:
            catalog: This collection, open for writing.
            fingerprint: Of the vectors.
            dim: Length of the vectors.
            texts: Text queries `(n, dim)` that measure what it finds.
            progress: Called with (vectors done, of how many).
        """
        from .postgres.hnsw import publish
        from .postgres.store import PostgresStore

        assert isinstance(catalog, PostgresStore)
        publish(catalog, fingerprint, dim, texts, progress)

    def open(self) -> "PostgresStore":
        """Open it for reading."""
        from .postgres.store import PostgresStore

        return PostgresStore.read(self.address, self.pooled)

    @contextmanager
    def writing(self, wait: float | None = None) -> "Iterator[PostgresStore]":
        """Open it for writing, beside others that do.

        Args:
            wait: Seconds to wait for another writer's commit; None for as long as an index run
                does.
        """
        from .postgres.store import PostgresStore

        store = PostgresStore.write(self.address, wait)
        try:
            yield store
        finally:
            store.close()


def locate(explicit: Path | str | None = None) -> Collection:
    """Return the collection to use.

    That is the explicit one, or `$CLIPDEX_COLLECTION`, or a `.clipdex` folder in the current
    folder or one above, or the one in the user's data folder. A text that begins with
    `postgresql://` names a collection in a database.

    Raises:
        CollectionError: A URL is not one, or is given as a path, which makes two slashes one.
    """
    if explicit is not None:
        return _named(explicit)
    named = os.environ.get(ENVIRONMENT)
    if named:
        return _named(named)
    with suppress(FileNotFoundError):  # the current folder was deleted
        here = Path.cwd()
        for folder in (here, *here.parents):
            if (folder / LOCAL_NAME).is_dir():
                return Collection(folder / LOCAL_NAME)
    instead = f"name a collection with --collection or ${ENVIRONMENT}"
    return Collection(user_folder("data", instead) / "collection")


def _named(place: Path | str) -> Collection:
    text = str(place)
    if text.startswith(("postgresql://", "postgres://")):
        return SharedCollection.at(text)
    if text.startswith(("postgresql:/", "postgres:/")):
        raise CollectionError(
            "a collection in a database is named by a str, not by a Path: "
            "postgresql://user@host/database"
        )
    return Collection(Path(place).absolute())


def filesystem_of(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str | None:
    """Return Linux's name of the file system under a path; None if it is unknown."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    best, kind = "", None
    resolved = str(path.resolve())
    for line in lines:
        _, mount_point, type_name, *_ = line.split(" ")
        point = mount_point.replace("\\040", " ")
        inside = resolved == point or resolved.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, type_name
    return kind
