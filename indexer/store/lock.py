"""One writer a collection.

The operating system drops the lock when its process ends, however it ends; a file beside it names
the owner for whoever has to wait.
"""

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from indexer.errors import CollectionLocked, CollectionStorageError
from indexer.json_files import Fields, read_json

from .collection import Collection
from .records import MAX_INTEGER


@contextmanager
def writer_lock(collection: Collection, purpose: str, wait: float = 0.0) -> Iterator[None]:
    """Hold the collection's write lock.

    Args:
        collection: The collection to write.
        purpose: What the writer does ("index", "forget"), for the message to others.
        wait: Seconds to wait for another process.

    Raises:
        CollectionLocked: Another process holds the lock; the message names it.
        CollectionStorageError: The folder cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(collection.folder / "writer.lock")
    owner = collection.folder / "writer.json"
    try:
        lock.acquire(timeout=wait)
    except Timeout as exc:
        raise CollectionLocked(
            f"{_owner(collection)} is writing to {collection.folder}. Wait until it ends, or "
            "stop it; searches go on meanwhile"
        ) from exc
    except OSError as exc:
        raise CollectionStorageError(
            f"cannot lock {collection.folder} for writing: {exc.strerror or exc}"
        ) from exc
    try:
        fields = {
            "pid": os.getpid(),
            "host": platform.node(),
            "purpose": purpose,
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        try:
            owner.write_text(json.dumps(fields))
        except OSError:
            owner.unlink(missing_ok=True)  # a full disk: the lock holds without a name
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _owner(collection: Collection) -> str:
    try:
        fields = Fields(read_json(collection.folder / "writer.json"))
        return (
            f"`clipdex {fields.text('purpose')}` (process {fields.integer('pid', 0, MAX_INTEGER)} "
            f"on {fields.text('host')}, since {fields.text('since')})"
        )
    except (OSError, ValueError):
        return "another process"
