"""Where a collection lies, and what lies in it.

catalogue.sqlite3          the only truth
vectors/<fingerprint>-<generation>.faiss   derived, immutable once published
writer.lock, writer.json   who is writing
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from indexer.errors import CollectionNotFound, CollectionStorageError
from indexer.user_folders import user_folder
from indexer.writable import obstacle

LOCAL_NAME = ".clipdex"
ENVIRONMENT = "CLIPDEX_COLLECTION"
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


def locate(explicit: Path | None = None) -> Collection:
    """Return the collection to use.

    That is the explicit one, or `$CLIPDEX_COLLECTION`, or a `.clipdex` folder in the current
    folder or one above, or the one in the user's data folder.
    """
    if explicit is not None:
        return Collection(Path(explicit).absolute())
    named = os.environ.get(ENVIRONMENT)
    if named:
        return Collection(Path(named).absolute())
    with suppress(FileNotFoundError):  # the current folder was deleted
        here = Path.cwd()
        for folder in (here, *here.parents):
            if (folder / LOCAL_NAME).is_dir():
                return Collection(folder / LOCAL_NAME)
    instead = f"name a collection with --collection or ${ENVIRONMENT}"
    return Collection(user_folder("data", instead) / "collection")


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
