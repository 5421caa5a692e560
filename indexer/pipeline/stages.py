"""Files to embeddings: decoding and encoding side by side on the same cores.

Decoder threads read, hash and decode, since Pillow releases the interpreter lock while it works;
remote files are read before, by threads of their own (`read_ahead`).
Encoder threads run the model. Between them stand two short queues, so memory does not grow with
the collection, and everything comes out in the order in which it went in, so that two runs over the
same files make the same batches. An encoder on a GPU reads files itself, in processes.
"""

import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from indexer.devices.cpu_count import available_cores
from indexer.encoder import BatchEncoder, Embeddings, Encoder
from indexer.images.decode import Limits
from indexer.images.preprocess import preprocess_of
from indexer.store.lookup import Lookup
from indexer.store.rows import Task

from .batch_tuning import BatchTuner
from .read import Batch, Known, Read, Reading
from .read_ahead import Ahead, ReadAhead

# A batch is encoded, full or not, when this many seconds have passed since the last one.
FLUSH_SECONDS = 2.0
# Encoded batches go out together: when they hold this many files, or after this long.
GROUP = 8
GROUP_SECONDS = 0.25
# For encoders that do not say what suits them.
DEFAULT_BATCH = 8
# Results that need no encoding come out at least this often.
DRAIN = 256


@runtime_checkable
class FileEncoder(BatchEncoder, Protocol):
    """An encoder that reads and decodes files itself, in processes beside the model."""

    @property
    def reads_files(self) -> bool:
        """Whether it does now; otherwise it is fed with pixels like any other."""

    def encode_files(
        self, tasks: Iterator[Task], reading: Reading, decoders: int
    ) -> Generator[tuple[Sequence[Read], Embeddings], None, None]:
        """Yield files in order, without pixels, and the vectors of those that had some.

        Args:
            tasks: The files.
            reading: What is done to each task; is sent to the processes.
            decoders: How many processes decode.
        """


@dataclass(frozen=True)
class Plan:
    """How the work is spread.

    Attributes:
        decoders: Threads (or processes, for a GPU) that decode.
        encoders: Threads that encode.
        batch_sizes: Images a batch; of several, the best is found by measuring.
    """

    decoders: int
    encoders: int
    batch_sizes: tuple[int, ...]

    @classmethod
    def of(cls, encoder: Encoder, workers: int | None, batch_size: int | None) -> "Plan":
        """Return the plan for this machine, or what the user asked for."""
        encoders: int = 1
        sizes: tuple[int, ...] = (DEFAULT_BATCH,)
        if isinstance(encoder, BatchEncoder):
            encoders, sizes = encoder.workers, encoder.batch_sizes
        return cls(
            decoders=workers or available_cores(),
            encoders=encoders,
            batch_sizes=(batch_size,) if batch_size else sizes,
        )


def run(
    tasks: Iterator[Task],
    encoder: Encoder,
    plan: Plan,
    limits: Limits,
    known: Known,
    lookup: Lookup | None = None,
) -> Generator[Batch, None, None]:
    """Yield batches in the order of `tasks`; closing the iterator drops what is in flight.

    Args:
        tasks: The files.
        encoder: The encoder.
        plan: How the work is spread.
        limits: The largest file and image to read.
        known: Whether a content has a vector by now; called from the decoders.
        lookup: What is known of a collection, for decoders in other processes.
    """
    reading = Reading(preprocess_of(encoder), limits, known)
    if isinstance(encoder, FileEncoder) and encoder.reads_files:
        elsewhere = Reading(
            reading.preprocess, limits, nothing_known if lookup is None else lookup.is_encoded
        )
        encoded = encoder.encode_files(tasks, elsewhere, plan.decoders)
        try:
            yield from _each_once(encoded, known)
        finally:
            encoded.close()
        return
    decoders = ThreadPoolExecutor(plan.decoders, thread_name_prefix="decode")
    encoders = ThreadPoolExecutor(plan.encoders, thread_name_prefix="encode")
    files = ReadAhead(tasks, limits)
    try:
        yield from _run(files, encoder, plan, reading, decoders, encoders)
    finally:
        files.close()
        decoders.shutdown(wait=True, cancel_futures=True)
        encoders.shutdown(wait=True, cancel_futures=True)


def nothing_known(digest: bytes) -> bool:
    """Return that no content has a vector."""
    return False


def _each_once(
    batches: Iterator[tuple[Sequence[Read], Embeddings]], known: Known
) -> Iterator[Batch]:
    """Yield batches in which no content has a vector twice, nor one that is known by now."""
    for files, vectors in batches:
        fresh: dict[bytes, tuple[Read, int]] = {}
        row = 0
        for file in files:
            if file.encoded:
                if file.digest not in fresh and not known(file.digest):
                    fresh[file.digest] = file, row
                row += 1
        rows = [at for _, at in fresh.values()]
        yield Batch(
            list(files), [file for file, _ in fresh.values()], vectors[rows] if rows else None
        )


def _run(
    tasks: ReadAhead,
    encoder: Encoder,
    plan: Plan,
    reading: Reading,
    decoders: ThreadPoolExecutor,
    encoders: ThreadPoolExecutor,
) -> Iterator[Batch]:
    tuner = BatchTuner(plan.batch_sizes, plan.encoders)
    decoding: deque[tuple[Ahead, Future[Read]]] = deque()
    encoding: deque[Future[Batch]] = deque()
    # Digests that are being encoded and not committed yet: their copies wait in the same queue.
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
        window = tuner.size * plan.encoders + 2 * plan.decoders
        while len(decoding) < window + tasks.readers and (ahead := tasks.take()) is not None:
            decoding.append((ahead, decoders.submit(reading, ahead.task, ahead.fetch)))

    refill()
    while decoding or files or encoding:
        if decoding:
            with suppress(TimeoutError):
                ahead, future = decoding[0]
                result = future.result(timeout=GROUP_SECONDS if ready.batches else FLUSH_SECONDS)
                decoding.popleft()
                tasks.done(ahead)
                refill()
                files.append(result)
                # Asked again here: a copy may have been committed since the decoder asked.
                if result.pixels is not None and not (
                    result.digest in pending or reading.known(result.digest)
                ):
                    pending.add(result.digest)
                    fresh.append(result)
        late = time.monotonic() - flushed >= FLUSH_SECONDS
        full = len(fresh) >= tuner.size or len(files) - len(fresh) >= DRAIN
        if files and (full or late or not decoding):
            encoding.append(encoders.submit(_encode, encoder, files, fresh, tuner))
            files, fresh, flushed = [], [], time.monotonic()
        # One batch more than there are encoders, so that none waits for a commit.
        while encoding and (
            encoding[0].done() or len(encoding) > plan.encoders + 1 or not decoding
        ):
            ready.add(encoding.popleft().result())
            if ready.due:
                yield from commit()
        ended = not (decoding or files or encoding)
        if ready.due or (ended and ready.batches):
            yield from commit()


class _Ready:
    """Encoded batches that wait to be committed together.

    A transaction costs as much for one image as for several.
    """

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self._since = time.monotonic()

    def add(self, batch: Batch) -> None:
        """Add a batch, in the order of its files."""
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
        """Return all batches as one, and forget them."""
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
    pixels = np.stack([item.pixels for item in fresh if item.pixels is not None])
    began = time.thread_time()
    vectors = encoder.encode_images(pixels)
    tuner.note(len(fresh), time.thread_time() - began)
    return Batch(files, fresh, vectors)
