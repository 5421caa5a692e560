"""Begins to read remote files before a decoder asks for them, many at once.

A decoder that waits for the network leaves its core idle. Files on drives are read by the decoders
themselves, as they need them.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from indexer.images.decode import Limits
from indexer.sources.reading import read_task
from indexer.sources.source import State
from indexer.store.paths import is_url
from indexer.store.rows import Task

from .read import Fetch

# Files that are read at once, beside those that decoders have.
READERS = 32
# Bytes that may have been read, or be on their way, before a decoder has them; a larger file comes
# alone.
MAX_BYTES = 128 * 2**20
# Seconds between two looks whether a decoder that waits for a file still needs it.
POLL = 0.5


@dataclass(frozen=True)
class Ahead:
    """A file whose turn has come.

    Attributes:
        fetch: Returns its bytes, which are being read already; None where its decoder reads it.
        size: How many bytes are held for it.
    """

    task: Task
    fetch: Fetch | None = None
    size: int = 0


class ReadAhead:
    """The files of a run, of which remote ones are read ahead; for one thread.

    Args:
        tasks: The files, in order.
        limits: The largest file to read.
    """

    def __init__(self, tasks: Iterator[Task], limits: Limits) -> None:
        self._tasks = tasks
        self._limits = limits
        self._next: Task | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._held = 0
        self._closed = threading.Event()

    @property
    def readers(self) -> int:
        """How many files are read at once, so that as many have to be on their way."""
        return 0 if self._pool is None else READERS

    def take(self) -> Ahead | None:
        """Return the next file; None where there is no other, or enough is being read."""
        task = self._next or next(self._tasks, None)
        self._next = None
        if task is None:
            return None
        if not is_url(task.folder):
            return Ahead(task)
        # One of unknown size may be as large as is allowed.
        size = self._limits.max_bytes if task.size < 0 else task.size
        size = min(size, self._limits.max_bytes)
        if self._held and self._held + size > MAX_BYTES:
            self._next = task
            return None
        if self._pool is None:
            self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="read")
        self._held += size
        reading = self._pool.submit(read_task, task, self._limits)
        return Ahead(task, partial(self._result, reading), size)

    def _result(self, reading: Future[tuple[State, bytes]]) -> tuple[State, bytes]:
        """Return what was read, unless nobody wants it any more."""
        while not self._closed.is_set():
            with suppress(TimeoutError):
                return reading.result(timeout=POLL)
        raise CancelledError

    def done(self, ahead: Ahead) -> None:
        """Note that a file's bytes are not held any more."""
        self._held -= ahead.size

    def close(self) -> None:
        """Drop what is being read: a server that does not answer is not waited for."""
        self._closed.set()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
