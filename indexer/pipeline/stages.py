"""Files to embeddings: decoding and encoding side by side on the same cores.

Decoders read, hash and decode: threads, since Pillow releases the interpreter lock while it works,
or processes for a GPU (`decoders`). Encoder threads run the model. Between them stand two short
queues, so memory does not grow with the collection, and everything comes out in the order in which
it went in, so that two runs over the same files make the same batches.
"""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from indexer.devices.cpu_count import available_cores
from indexer.encoder import Embeddings, Encoder, Pixels
from indexer.errors import ImageError
from indexer.images.capture_time import CaptureTime
from indexer.images.decode import Limits, decode, read_file
from indexer.images.gray_thumbnail import gray_thumbnail
from indexer.images.preprocess import Preprocess, preprocess_of
from indexer.store.content_hash import digest
from indexer.store.records import Task

from .batch_tuning import BatchTuner
from .decode_pool import Decoders, decoders_for, lost

# A batch is encoded, full or not, when this many seconds have passed since the last one.
FLUSH_SECONDS = 2.0
# Encoded batches go out together: when they hold this many files, or after this long.
GROUP = 8
GROUP_SECONDS = 0.25
# For encoders that do not say what suits them.
DEFAULT_BATCH = 8
# Results that need no encoding come out at least this often.
DRAIN = 256


@dataclass(frozen=True)
class Read:
    """A file that was read: its metadata as they were before reading, and what came of it.

    Exactly one holds: `reason` says why it failed; `pixels` is `(3, h, w)` uint8; or both are
    None and the catalog has a vector of this `digest` already.
    """

    task: Task
    size: int
    mtime_ns: int
    digest: bytes = b""
    pixels: Pixels | None = None
    width: int = 0
    height: int = 0
    format: str = ""
    captured: CaptureTime | None = None
    thumbnail: bytes = b""
    reason: str | None = None


@dataclass(frozen=True)
class Batch:
    """What can be committed together: files, and the vectors `(n, dim)` of the new contents.

    `files` are in order; `vectors[i]` belongs to `fresh[i]`, each of a different digest.
    """

    files: list[Read]
    fresh: list[Read] = field(default_factory=list)
    vectors: Embeddings | None = None


@dataclass(frozen=True)
class Plan:
    """How the work is spread: threads that decode, threads that encode, images a batch.

    batch_sizes: where there are several, the best is found by measuring (`batch_tuning`).
    """

    decoders: int
    lanes: int
    batch_sizes: tuple[int, ...]

    @classmethod
    def of(cls, encoder: Encoder, workers: int | None, batch_size: int | None) -> "Plan":
        """The plan for this machine, or what the user asked for."""
        return cls(
            decoders=workers or available_cores(),
            lanes=getattr(encoder, "lanes", 1),
            batch_sizes=(batch_size,) if batch_size else _batch_sizes(encoder),
        )


def _batch_sizes(encoder: Encoder) -> tuple[int, ...]:
    several: tuple[int, ...] | None = getattr(encoder, "batch_sizes", None)
    return several or (int(getattr(encoder, "batch_size", DEFAULT_BATCH)),)


@dataclass(frozen=True)
class Reading:
    """What decoders do to each task, as something that can be sent to processes."""

    preprocess: Preprocess
    limits: Limits
    known: Callable[[bytes], bool]

    def __call__(self, task: Task) -> Read:
        """Read, hash and decode one file."""
        return read(task, self.preprocess, self.limits, self.known)


def read(
    task: Task, preprocess: Preprocess, limits: Limits, known: Callable[[bytes], bool]
) -> Read:
    """Read, hash and decode one file; whatever is wrong with it becomes the reason."""
    try:
        info, data = read_file(task.location, limits)
        key = digest(data)
        if known(key):
            return Read(task, info.st_size, info.st_mtime_ns, key)
        decoded = decode(data, limits, at_least=preprocess.size, name=task.path)
        return Read(
            task,
            info.st_size,
            info.st_mtime_ns,
            key,
            preprocess.pixels(decoded.image),
            decoded.width,
            decoded.height,
            decoded.format,
            decoded.taken,
            gray_thumbnail(decoded.image),
        )
    except (ImageError, MemoryError) as exc:
        reason = str(exc) or "too large for this machine's memory"
        return Read(task, task.size, task.mtime_ns, reason=reason)


def run(
    tasks: Iterator[Task],
    encoder: Encoder,
    plan: Plan,
    limits: Limits,
    known: Callable[[bytes], bool],
) -> Generator[Batch, None, None]:
    """Batches in the order of `tasks`. known: whether a content's vector is committed.

    `known` is called from the decoders. Closing the iterator drops what is in flight.
    """
    reading = Reading(preprocess_of(encoder), limits, known)
    decoders: Decoders[Task, Read] = decoders_for(encoder, plan.decoders, reading, known)
    lanes = ThreadPoolExecutor(plan.lanes, thread_name_prefix="encode")
    try:
        yield from _run(tasks, encoder, plan, known, decoders, lanes)
    finally:
        decoders.close()
        lanes.shutdown(wait=True, cancel_futures=True)


def _run(
    tasks: Iterator[Task],
    encoder: Encoder,
    plan: Plan,
    known: Callable[[bytes], bool],
    decoders: Decoders[Task, Read],
    lanes: ThreadPoolExecutor,
) -> Iterator[Batch]:
    tuner = BatchTuner(plan.batch_sizes, plan.lanes)
    reading: deque[Future[Read]] = deque()
    encoding: deque[Future[Batch]] = deque()
    # Digests that are being encoded and not committed yet: their twins wait in the same queue.
    pending: set[bytes] = set()
    files: list[Read] = []
    fresh: list[Read] = []
    flushed = time.monotonic()
    ready = _Ready()

    def commit() -> Iterator[Batch]:
        batch = ready.take()
        yield batch
        pending.difference_update(item.digest for item in batch.fresh)

    def refill() -> None:
        window = tuner.size * plan.lanes + 2 * plan.decoders
        while len(reading) < window and (task := next(tasks, None)) is not None:
            reading.append(decoders.submit(task))

    refill()
    while reading or files or encoding:
        if reading:
            with suppress(TimeoutError), lost():
                result = reading[0].result(
                    timeout=GROUP_SECONDS if ready.batches else FLUSH_SECONDS
                )
                reading.popleft()
                refill()
                files.append(result)
                # Asked again here: a twin may have been committed since the decoder asked.
                if result.pixels is not None and not (
                    result.digest in pending or known(result.digest)
                ):
                    pending.add(result.digest)
                    fresh.append(result)
        late = time.monotonic() - flushed >= FLUSH_SECONDS
        full = len(fresh) >= tuner.size or len(files) - len(fresh) >= DRAIN
        if files and (full or late or not reading):
            encoding.append(lanes.submit(_encode, encoder, files, fresh, tuner))
            files, fresh, flushed = [], [], time.monotonic()
        # One batch more than there are lanes, so that no lane waits for a commit.
        while encoding and (encoding[0].done() or len(encoding) > plan.lanes + 1 or not reading):
            ready.add(encoding.popleft().result())
            if ready.due:
                yield from commit()
        ended = not (reading or files or encoding)
        if ready.due or (ended and ready.batches):
            yield from commit()


class _Ready:
    """Encoded batches that wait to be committed together: a transaction costs as much for one
    image as for several.
    """

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self._since = time.monotonic()

    def add(self, batch: Batch) -> None:
        """One more, in the order of its files."""
        if not self.batches:
            self._since = time.monotonic()
        self.batches.append(batch)

    @property
    def due(self) -> bool:
        """Whether they hold enough, or the first has waited long enough."""
        return bool(self.batches) and (
            sum(len(batch.files) for batch in self.batches) >= GROUP
            or time.monotonic() - self._since >= GROUP_SECONDS
        )

    def take(self) -> Batch:
        """All of them as one."""
        batches, self.batches = self.batches, []
        vectors = [batch.vectors for batch in batches if batch.vectors is not None]
        return Batch(
            [item for batch in batches for item in batch.files],
            [item for batch in batches for item in batch.fresh],
            np.concatenate(vectors) if vectors else None,
        )


def _encode(encoder: Encoder, files: list[Read], fresh: list[Read], tuner: BatchTuner) -> Batch:
    if not fresh:
        return Batch(files)
    images = [item.pixels for item in fresh if item.pixels is not None]
    unstacked = getattr(encoder, "encode_batch", None)
    began = time.thread_time()
    if unstacked is not None:
        vectors = unstacked(images)
    else:
        vectors = encoder.encode_images(np.stack(images))
    tuner.note(len(fresh), time.thread_time() - began)
    return Batch(files, fresh, vectors)
