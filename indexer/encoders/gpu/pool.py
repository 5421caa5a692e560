"""The encoder of GPUs: a process for each, fed through shared memory.

One process a GPU, also where there is but one: this process holds FAISS, which must not share a
macOS process with torch, and starts in a fraction of the time that importing torch takes.
"""

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any

import numpy as np

from indexer.bundles.bundle import Bundle
from indexer.encoder import Embeddings, Pixels
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.errors import ModelError

from . import compile_policy, shared_batches
from .batch_size import LARGEST_TRIAL
from .shared_batches import Slot
from .worker import Worker
from .worker_main import Runner, load_torch

# Batches that each process has at a time: one computed, one copied to the device.
SLOTS = 2
# A run that the CPU does in less is left to it: as long as importing torch and open_clip (5 to
# 14 s, measured here), starting CUDA and loading a model take before the first image.
START_SECONDS = 20.0
# Of the shared memory that is left; other programs use it, too.
SHARE_OF_ROOM = 0.5

Report = Callable[[str], None]
Load = Callable[[Bundle, str], Runner]


class DeviceEncoder(OnnxEncoder):
    """A bundle whose images are encoded by `prepare`d processes, one a device; its texts, and
    images before that, by the bundle itself on the CPU.

    devices: torch's names, such as "cuda:0"; one may come twice. optional: whether the CPU may do
    a small job, or all of it where a device fails to start. threads: cores, for the CPU.
    on_progress: is told in one line what was chosen. load: makes a device's runner, in its process.
    """

    def __init__(
        self,
        bundle: Bundle,
        devices: Sequence[str],
        *,
        optional: bool = False,
        threads: int = 1,
        on_progress: Report = lambda line: None,
        load: Load = load_torch,
    ) -> None:
        super().__init__(bundle, device="cpu", threads=threads)
        self._enough_for = 0.0  # images, of a run that need not be prepared for anew
        self._on_cpu = self.lanes, self.batch_size, self.batch_sizes
        self.devices = tuple(devices)
        self.optional = optional
        self._on_progress = on_progress
        self._load = load
        self._starting = threading.Lock()
        self._workers: list[Worker] = []
        self._slots: list[Slot] = []
        self._free: SimpleQueue[tuple[Worker, int, Slot]] = SimpleQueue()
        self._end: weakref.finalize[..., DeviceEncoder] = weakref.finalize(self, _close, [], [])

    @property
    def decode_in_processes(self) -> bool:
        """Whether images come so fast that threads, which share one interpreter, do not do."""
        return bool(self._workers)

    def prepare(self, images: int, batch_size: int | None = None) -> None:
        """Start the processes and find out how they run best, for a run of `images`.

        batch_size: images a batch; found by trial otherwise.
        Raises DeviceUnavailable, or ModelError where a process fails; with `optional` the CPU
        takes over instead.
        """
        with self._starting:
            if self._workers and images <= self._enough_for:
                return
            self.close()
            if self.optional and self._cpu_is_quick(images):
                return
            try:
                self._start(images, batch_size)
            except ModelError as exc:
                self.close()
                if not self.optional:
                    raise
                self._on_progress(f"going on with the CPU: {exc}")
            except BaseException:
                self.close()
                raise

    def encode_images(self, pixels: Pixels) -> Embeddings:
        """`(n, 3, h, w)` uint8 to `(n, dim)` float32 of unit norm. Call it from `lanes` threads
        to keep all devices busy. Raises ModelError where a process fails or has died.
        """
        return self.encode_batch(list(pixels))

    def encode_batch(self, images: Sequence[Pixels]) -> Embeddings:
        """The same for images `(3, h, w)` that are not stacked yet: they are laid straight into
        the memory that a process reads.
        """
        if not self._workers and not self.optional:
            self.prepare(max(len(images), LARGEST_TRIAL))
        if not self._workers:
            return super().encode_images(np.stack(images))
        parts = [np.zeros((0, self.dim), np.float32)]
        for at in range(0, len(images), self.batch_size):
            parts.append(self._encode(images[at : at + self.batch_size]))
        return np.concatenate(parts)

    def close(self) -> None:
        """End the processes; images are encoded on the CPU, or by new ones, from then on."""
        self._end()
        self._workers, self._slots, self._free = [], [], SimpleQueue()
        self.lanes, self.batch_size, self.batch_sizes = self._on_cpu

    def __enter__(self) -> "DeviceEncoder":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _encode(self, images: Sequence[Pixels]) -> Embeddings:
        worker, number, slot = self._free.get()
        try:
            np.stack(images, out=slot.pixels[: len(images)])
            vectors: Embeddings = worker.request("encode", number, len(images)).result()
        finally:
            self._free.put((worker, number, slot))  # a dead one's too: nobody waits for ever
        return vectors

    def _cpu_is_quick(self, images: int) -> bool:
        """Whether the CPU does `images` before a device has begun, going by one of them."""
        one = np.zeros((1, 3, *self.image_size), np.uint8)
        super().encode_images(one)
        began = time.perf_counter()
        super().encode_images(one)
        each = (time.perf_counter() - began) / self.lanes
        quick = images * each < START_SECONDS
        if not quick:
            with suppress(AttributeError):
                del self._image_session  # its memory is not needed any more
        return quick

    def _start(self, images: int, batch_size: int | None) -> None:
        workers: list[Worker] = []
        self._end.detach()
        self._end = weakref.finalize(self, _close, workers, self._slots)
        for device in self.devices:
            workers.append(Worker(device, partial(self._load, self.bundle, device)))
        precisions = _results([worker.loaded for worker in workers])
        share = -(-images // (SLOTS * len(workers)))  # each has something to do
        bound = min(batch_size or LARGEST_TRIAL, self._most_that_fit(len(workers)))
        most = max(1, min(bound, share))
        if batch_size is None:
            most = min(_ask(workers, "find_batch_size", most))
        _ask(workers, "set_batch_size", most)
        compiled = _compile(workers, images // len(workers))
        self._share(workers, most)
        self.lanes, self.batch_size, self.batch_sizes = SLOTS * len(workers), most, (most,)
        self._enough_for = images if most == share < bound else float("inf")
        self._workers = workers
        how = f"{len(workers)} {'GPU' if len(workers) == 1 else 'GPUs'}"
        self._on_progress(
            f"{how} ({', '.join(self.devices)}), {most} images a batch, "
            f"{'/'.join(sorted(set(map(str, precisions))))}{', compiled' if compiled else ''}"
        )

    def _most_that_fit(self, workers: int) -> int:
        """Images a batch that there is shared memory for."""
        left = shared_batches.room()
        if left is None:
            return LARGEST_TRIAL
        return int(left * SHARE_OF_ROOM) // (SLOTS * workers * 3 * int(np.prod(self.image_size)))

    def _share(self, workers: list[Worker], batch_size: int) -> None:
        """Give each worker its slots, and take turns among the workers."""
        shape = (batch_size, 3, *self.image_size)
        shared = []
        for worker in workers:
            own = []
            for _ in range(SLOTS):
                own.append(Slot.create(shape))
                self._slots.append(own[-1])
            shared.append((worker, own))
        _results(
            [worker.request("share", *((one.name, shape) for one in own)) for worker, own in shared]
        )
        for slot in self._slots:
            slot.forget_name()
        for number in range(SLOTS):
            for worker, own in shared:
                self._free.put((worker, number, own[number]))


def _close(workers: list[Worker], shared: list[Slot]) -> None:
    """Apart from the encoder, so that it is called when that is forgotten or Python ends."""
    for worker in workers:
        worker.close()
    for slot in shared:
        slot.forget_name()
        slot.close()


def _compile(workers: list[Worker], images: int) -> bool:
    """Compile where that pays back over `images` a worker; whether any runs compiled now."""
    slowest = min(_ask(workers, "images_per_second"))
    return compile_policy.pays_back(images, slowest) and any(_ask(workers, "compile"))


def _ask(workers: list[Worker], verb: str, *arguments: Any) -> list[Any]:
    """What each worker answers, asked all at once."""
    return _results([worker.request(verb, *arguments) for worker in workers])


def _results(futures: list[Future[Any]]) -> list[Any]:
    return [future.result() for future in futures]
