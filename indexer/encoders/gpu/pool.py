"""The encoder of GPUs: a torch process for each, which decodes its own share of the files.

One process a GPU, also where there is but one: this process holds FAISS, which must not share a
macOS process with torch, and starts in a fraction of the time that importing torch takes.
"""

import shutil
import time
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from indexer.bundles.bundle import Bundle
from indexer.encoder import Embeddings
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.errors import ModelError
from indexer.pipeline.read import Read, Reading
from indexer.store.rows import Task

from .feeding import PREFETCH, Run, TensorEncoder
from .worker import Worker

T = TypeVar("T")

BATCH_SIZE = 64
# A run that the CPU does in less is left to it: as long as importing torch and open_clip (5 to
# 14 s, measured here), starting CUDA and loading a model take before the first image.
START_SECONDS = 20.0
# Where Linux keeps the memory that processes share, and how much of what is left may be used.
SHARED_MEMORY = Path("/dev/shm")
SHARE_OF_ROOM = 0.5

Load = Callable[[Bundle, str], TensorEncoder]


class GpuEncoder(OnnxEncoder):
    """A bundle whose files are encoded by `prepare`d processes, one a device.

    Texts and single images, and files before that, are encoded by the bundle itself on the CPU.

    Args:
        devices: torch's names, such as "cuda:0"; one may come twice.
        load: Makes a device's encoder, in its process.
        optional: Whether the CPU may do a small job, or all of it where a device does not start.
        threads: Cores, for the CPU.
        on_progress: Called with a line of text on what was chosen.
    """

    def __init__(
        self,
        bundle: Bundle,
        devices: Sequence[str],
        load: Load,
        *,
        optional: bool = False,
        threads: int = 1,
        on_progress: Callable[[str], None] = lambda line: None,
    ) -> None:
        super().__init__(bundle, device="cpu", threads=threads)
        self.devices = tuple(devices)
        self.optional = optional
        self._on_progress = on_progress
        self._load = load
        self._images = 0
        self._batch_size = BATCH_SIZE
        self._processes: list[Worker] = []
        self._end: weakref.finalize[..., GpuEncoder] = weakref.finalize(self, _close, [])

    @property
    def reads_files(self) -> bool:
        """Whether processes are there to read files."""
        return bool(self._processes)

    def prepare(self, images: int, batch_size: int | None) -> None:
        """Start a process for each device.

        Args:
            images: How many the run has.
            batch_size: Images a batch, where the user asked for a number.

        Raises:
            ModelError: A process does not start; with `optional` the CPU takes over instead.
        """
        self._images, self._batch_size = images, batch_size or BATCH_SIZE
        if self._processes or not images or (self.optional and self._cpu_is_quick(images)):
            return
        workers: list[Worker] = []
        self._end.detach()
        self._end = weakref.finalize(self, _close, workers)
        try:
            for device in self.devices:
                workers.append(Worker(device, partial(self._load, self.bundle, device)))
            precisions = {worker.answer() for worker in workers}
            for worker in workers:
                worker.idle = True
        except ModelError as exc:
            self.close()
            if not self.optional:
                raise
            self._on_progress(f"continuing on the CPU: {exc}")
            return
        except BaseException:
            self.close()
            raise
        self._processes = workers
        how = f"{len(workers)} {'GPU' if len(workers) == 1 else 'GPUs'}"
        self._on_progress(f"{how} ({', '.join(self.devices)}), {'/'.join(sorted(precisions))}")

    def encode_files(
        self, tasks: Iterator[Task], reading: Reading, decoders: int
    ) -> Generator[tuple[Sequence[Read], Embeddings], None, None]:
        """Yield files in order, without pixels, and the vectors of those that had some.

        Chunks of files go to the devices in turn, and their answers come in the same order.

        Args:
            tasks: The files.
            reading: What is done to each task; is sent to the processes.
            decoders: How many processes decode, all devices together.

        Raises:
            ModelError: A process failed or has died.
            WorkerLost: A decoding process was killed from outside.
        """
        each = max(1, decoders // len(self._processes))
        pinned = self.devices[0].startswith("cuda")
        for worker in self._processes:
            worker.send(Run(reading, each, pinned, each * len(self._processes)))
        # A DataLoader takes in this many chunks, and one more, before it gives the first result.
        ahead = len(self._processes) * (each * PREFETCH + 2)
        chunks = _chunks(tasks, self._chunk_size(ahead))
        turns = cycle(self._processes)
        waiting: deque[Worker] = deque()
        whole = finished = False
        try:
            while True:
                for chunk in islice(chunks, ahead - len(waiting)):
                    waiting.append(next(turns))
                    waiting[-1].send(chunk)
                if len(waiting) < ahead and not whole:
                    whole = True
                    for worker in self._processes:
                        worker.send(None)
                if not waiting:
                    break
                yield waiting.popleft().answer()
            finished = True
        finally:
            for worker in self._processes:
                worker.idle = finished
            if not finished:  # an error, or whoever asked has stopped
                self.close()

    def close(self) -> None:
        """End the processes; everything is encoded on the CPU from then on."""
        self._end()
        self._processes = []

    def __enter__(self) -> "GpuEncoder":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _chunk_size(self, ahead: int) -> int:
        """Return files a chunk: few enough that all decoders work, and that memory holds them."""
        size = min(self._batch_size, -(-self._images // max(1, ahead // PREFETCH)))
        if SHARED_MEMORY.is_dir():
            room = SHARE_OF_ROOM * shutil.disk_usage(SHARED_MEMORY).free
            size = min(size, int(room / (ahead * 3 * np.prod(self.image_size))))
        return max(1, size)

    def _cpu_is_quick(self, images: int) -> bool:
        """Return whether the CPU does `images` before a device has begun, going by one of them."""
        one = np.zeros((1, 3, *self.image_size), np.uint8)
        self.encode_images(one)
        began = time.perf_counter()
        self.encode_images(one)
        each = (time.perf_counter() - began) / self.workers
        quick = images * each < START_SECONDS
        if not quick:
            with suppress(AttributeError):
                del self._image_session  # its memory is not needed any more
        return quick


def _close(workers: list[Worker]) -> None:
    """Close the workers; not a method, so that a finalizer can call it without the encoder."""
    for worker in workers:
        worker.close()


def _chunks(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while chunk := list(islice(items, size)):
        yield chunk
