"""What runs in the process of one GPU: a DataLoader that decodes files, and the model.

The process loads its encoder, then serves runs: a `Run`, then chunks of tasks until None. It
answers each chunk, in order, with its files and the vectors of those that hold an image, or with
the error that ended the run. It ends with None in place of a run, or with its parent.
"""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from indexer.devices.processes import end_with_parent
from indexer.encoder import Embeddings
from indexer.errors import ClipdexError, ModelError, WorkerLost
from indexer.images.memory_budget import BUDGET
from indexer.pipeline.read import Read, Reading
from indexer.store.rows import Task

if TYPE_CHECKING:
    import torch

# Chunks that each decoding process has ready, beside the one that it is at.
PREFETCH = 2

Answer = tuple[list[Read], Embeddings]
"""The files of a chunk, without pixels, and the vectors of those that were encoded."""


class TensorEncoder(Protocol):
    """What the process needs of an encoder (`TorchEncoder`)."""

    @property
    def precision(self) -> str:
        """What it computes in, for the message to the user."""

    def encode(self, pixels: "torch.Tensor") -> Embeddings:
        """Encode `(n, 3, h, w)` uint8 to `(n, dim)` float32 of unit norm."""


@dataclass(frozen=True)
class Run:
    """One run over files.

    Attributes:
        reading: What is done to each task.
        decoders: Processes that decode.
        pinned: Whether pixels are copied into page-locked memory, for a CUDA device.
        sharing: Processes that decode in the whole run, which share the memory for it.
    """

    reading: Reading
    decoders: int
    pinned: bool
    sharing: int = 1


class Files:
    """A dataset whose "indices" are the tasks themselves."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading

    def __getitem__(self, task: Task) -> Read:
        """Return the file, read and decoded."""
        return self.reading(task)


class Chunks:
    """The chunks of tasks that come through the pipe, as a DataLoader's batches."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __iter__(self) -> Iterator[list[Task]]:
        """Yield chunks until None comes."""
        while (chunk := self._connection.recv()) is not None:
            yield chunk


def collate(reads: Sequence[Read]) -> tuple[list[Read], "torch.Tensor"]:
    """Stack the pixels of a chunk into one tensor, which travels through shared memory."""
    import torch

    pixels = [item.pixels for item in reads if item.pixels is not None]
    stacked = torch.from_numpy(np.stack(pixels)) if pixels else torch.empty(0, dtype=torch.uint8)
    return [replace(item, pixels=None) for item in reads], stacked


def main(connection: Connection, load: Callable[[], TensorEncoder]) -> None:
    """Load the encoder, say how that went, and serve runs until None comes."""
    end_with_parent()
    signal.signal(signal.SIGTERM, _exit)
    try:
        encoder = load()
        _send(connection, encoder.precision)
        while (run := connection.recv()) is not None:
            _serve(connection, run, encoder)
    except Exception as exc:  # any error is reported to the parent
        with suppress(OSError):  # which has gone
            _send(connection, _sendable(exc))


def _serve(connection: Connection, run: Run, encoder: TensorEncoder) -> None:
    from torch.utils.data import DataLoader

    loader: DataLoader[Any] = DataLoader(
        Files(run.reading),  # type: ignore[arg-type]
        batch_sampler=Chunks(connection),
        num_workers=run.decoders,
        prefetch_factor=PREFETCH,
        collate_fn=collate,
        pin_memory=run.pinned,
        multiprocessing_context="spawn",
        worker_init_fn=partial(_begin_decoder, run.sharing),
    )
    try:
        for reads, pixels in loader:
            vectors = encoder.encode(pixels) if len(pixels) else np.empty((0, 0), np.float32)
            _send(connection, (reads, vectors))
    except (OSError, EOFError) as exc:
        # A decoder that is gone is named by torch, or met by its closed pipe or vanished memory.
        raise _decoder_lost(exc) from exc


def _exit(*_: object) -> None:
    """End by unwinding, so that the DataLoader takes its processes along."""
    raise SystemExit


def _send(connection: Connection, message: object) -> None:
    """Send a message whole: a signal's handler (torch's own, or `_exit`) would cut it off."""
    block = getattr(signal, "pthread_sigmask", None)  # not on Windows
    if block is None:
        connection.send(message)
        return
    before = block(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM})
    try:
        connection.send(message)
    finally:
        block(signal.SIG_SETMASK, before)


def _begin_decoder(sharing: int, number: int) -> None:
    # torch's own watch misses a parent that ends while its workers start.
    end_with_parent()
    BUDGET.split(sharing)


def _sendable(exc: Exception) -> ClipdexError:
    """Return an error that another process understands, without the tensors in its frames."""
    if isinstance(exc, ClipdexError):
        return type(exc)(str(exc))
    if "DataLoader worker" in str(exc):
        return _decoder_lost(exc)
    return ModelError(f"{_line(exc)}. --device cpu does without torch")


def _decoder_lost(exc: Exception) -> WorkerLost:
    return WorkerLost(
        f"a process that decodes images has ended ({_line(exc)}), perhaps for lack of memory. What "
        "was indexed is kept: run the same command to go on, with fewer --workers or a smaller "
        "--batch-size (in a container: with a larger --shm-size) if it happens again"
    )


def _line(exc: Exception) -> str:
    return " ".join(f"{type(exc).__name__}: {exc}".split())[:300]
