"""What decodes images beside the model: threads, or processes where threads are too slow.

Pillow releases the interpreter lock while it decodes and resizes, so threads feed a CPU's model
well, and cost less than processes. But what stays under the lock (headers, EXIF, sketches, arrays)
is one interpreter's to do, and a GPU with many cores to feed it wants more: see docs/design.md.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

from indexer.encoder import Encoder
from indexer.errors import WorkerLost
from indexer.store.lookup import Lookup

T = TypeVar("T")
R = TypeVar("R")
T_contra = TypeVar("T_contra", contravariant=True)


class Decoders(Protocol[T_contra, R]):
    """A pool that does one thing to each task."""

    def submit(self, task: T_contra) -> Future[R]:
        """The result to be of one task."""

    def close(self) -> None:
        """Drop what has not begun and wait for the rest."""


class ThreadDecoders(Generic[T, R]):
    """`work` in threads."""

    def __init__(self, count: int, work: Callable[[T], R]) -> None:
        self._work = work
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="decode")

    def submit(self, task: T) -> Future[R]:
        """The result to be of one task."""
        return self._pool.submit(self._work, task)

    def close(self) -> None:
        """Drop what has not begun and wait for the rest."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class ProcessDecoders(Generic[T, R]):
    """`work`, which must be picklable, in spawned processes; so must tasks and results be.

    A process that was ended from outside surfaces as WorkerLost where results are awaited with
    `lost`.
    """

    def __init__(self, count: int, work: Callable[[T], R]) -> None:
        # Imported here, so that runs without a GPU do not pay for it.
        from concurrent.futures import ProcessPoolExecutor

        from indexer.devices.processes import SPAWN, sheltered

        self._sheltered = sheltered
        self._pool = ProcessPoolExecutor(
            count, mp_context=SPAWN, initializer=_begin, initargs=(work,)
        )

    def submit(self, task: T) -> Future[R]:
        """The result to be of one task."""
        with self._sheltered(), lost():  # the pool starts its processes when they are first needed
            future: Future[R] = self._pool.submit(_do, task)
        return future

    def close(self) -> None:
        """Drop what has not begun and wait for the rest."""
        self._pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def lost() -> Iterator[None]:
    """Where results are awaited: the end of a decoding process becomes WorkerLost."""
    try:
        yield
    except BrokenExecutor as exc:
        raise WorkerLost(
            "a process that decodes images was ended from outside, perhaps for lack of memory. "
            "What was indexed is kept: run the same command to go on, with fewer --workers if it "
            "happens again"
        ) from exc


def decoders_for(
    encoder: Encoder, count: int, work: Callable[[T], R], known: Callable[[bytes], bool]
) -> Decoders[T, R]:
    """`count` processes where the encoder asks for them (`decode_in_processes`), else threads.

    known: what `work` asks; only a `Lookup`'s method can be sent to processes, which open their
    own.
    """
    moves = isinstance(getattr(known, "__self__", None), Lookup)
    if moves and getattr(encoder, "decode_in_processes", False):
        return ProcessDecoders(count, work)
    return ThreadDecoders(count, work)


_work: Callable[[Any], Any] | None = None


def _begin(work: Callable[[Any], Any]) -> None:
    """In a process: remember what to do, and end with the parent."""
    from indexer.devices.processes import end_with_parent

    global _work
    end_with_parent()
    _work = work


def _do(task: Any) -> Any:
    """In a process: one task."""
    assert _work is not None
    return _work(task)
