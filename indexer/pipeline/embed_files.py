"""Embeds files that may or may not be in a collection, without storing anything."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from indexer.arguments import several
from indexer.encoder import BatchEncoder, Embeddings, Encoder
from indexer.errors import RootUnavailable
from indexer.images.decode import Limits
from indexer.scan.walk import Elsewhere, Found, Other, Unreadable, walk
from indexer.store.lookup import Lookup
from indexer.store.paths import is_remote
from indexer.store.rows import Task

from .stages import Plan, run

T = TypeVar("T")


@dataclass(frozen=True)
class Embedded(Generic[T]):
    """A file: the hash of its content and what was made of its vector, or why there is none."""

    path: bytes
    digest: bytes
    value: T | None
    reason: str | None = None


def embed_files(
    tasks: Sequence[Task],
    encoder: Encoder,
    make: Callable[[Embeddings], Sequence[T]],
    *,
    stored: Lookup | None = None,
    workers: int | None = None,
    limits: Limits | None = None,
) -> Iterator[Embedded[T]]:
    """Embed files, each content once.

    Args:
        tasks: The files.
        encoder: The encoder.
        make: Turns the vectors `(n, dim)` of a batch into n values.
        stored: The vectors of a collection by the encoder's model, used for the images that it
            holds.
        workers: How many images are decoded at once.
        limits: The largest file and image to read.

    Yields:
        Each file in order, with the value that was made of its vector.
    """
    made: dict[bytes, T] = {}

    def known(digest: bytes) -> bool:
        return digest in made or (stored is not None and stored.has_vector(digest))

    if isinstance(encoder, BatchEncoder):
        encoder.prepare(len(tasks), None)
    plan = Plan.of(encoder, workers, None)
    with closing(run(iter(tasks), encoder, plan, limits or Limits(), known, stored)) as batches:
        for batch in batches:
            if batch.vectors is not None:
                values = make(batch.vectors)
                made.update(zip((item.digest for item in batch.fresh), values, strict=True))
            for item in batch.files:
                if item.reason is not None:
                    yield Embedded(item.task.location, b"", None, item.reason)
                    continue
                if item.digest not in made:
                    own = stored.vector(item.digest) if stored is not None else None
                    assert own is not None  # `known` has just found it
                    (made[item.digest],) = make(own[np.newaxis])
                yield Embedded(item.task.location, item.digest, made[item.digest])


def task_of(path: bytes) -> Task:
    """Return the task of reading one file.

    Args:
        path: Its absolute path.

    Raises:
        OSError: It does not exist.
    """
    info = os.stat(path)
    folder, name = os.path.split(path)
    return Task(0, folder, name, info.st_size, info.st_mtime_ns)


def tasks_of(paths: Iterable[Path | str]) -> tuple[list[Task], list[tuple[bytes, str]]]:
    """Return the tasks of reading files and all images in folders, on drives or by URLs.

    Returns:
        The tasks, and (path, reason) of what could not be read.

    Raises:
        RootUnavailable: One of the paths does not exist.
    """
    tasks: list[Task] = []
    unreadable: list[tuple[bytes, str]] = []
    entries: Iterator[Found | Other | Unreadable | Elsewhere]
    for path in several(paths):
        absolute = Path(os.path.abspath(path))
        folder = os.fsencode(absolute)
        try:
            if is_remote(path):
                from indexer.scan.walk_remote import walk_url  # few name a URL

                folder, entries = walk_url(path)
            elif not absolute.is_dir():
                tasks.append(task_of(folder))
                continue
            else:
                entries = walk(absolute)
            for entry in entries:
                match entry:
                    case Found(relative, size, mtime_ns):
                        tasks.append(Task(0, folder, relative, size, mtime_ns))
                    case Unreadable(relative, reason):
                        unreadable.append((os.path.join(folder, relative), reason))
        except (OSError, ValueError) as exc:  # a ValueError: it contains a NUL
            reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
            raise RootUnavailable(f"{path} cannot be read: {reason}") from exc
    return tasks, unreadable
