"""A batch's place in memory that two processes share, so that images are laid there once."""

import os
import sys
from contextlib import suppress
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np

from indexer.encoder import Pixels
from indexer.errors import ModelError

# Where Linux keeps it, in memory; containers give it 64 MB unless told otherwise.
PLACE = Path("/dev/shm")
WAY_OUT = "give the container more (docker run --shm-size=2g), or a smaller --batch-size"


def room() -> int | None:
    """Bytes of shared memory that are left; None where only memory itself is the limit."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        status = os.statvfs(PLACE)
    except OSError:
        return None
    return status.f_bavail * status.f_frsize


class Slot:
    """pixels: `(capacity, 3, h, w)` uint8, the same memory in both processes."""

    def __init__(self, memory: SharedMemory, shape: tuple[int, int, int, int]) -> None:
        self._memory = memory
        self.shape = shape
        self.pixels: Pixels = np.ndarray(shape, np.uint8, memory.buf)

    @classmethod
    def create(cls, shape: tuple[int, int, int, int]) -> "Slot":
        """A new one; raises ModelError where there is no room for it."""
        size = int(np.prod(shape))
        try:
            memory = SharedMemory(create=True, size=size)
        except OSError as exc:
            raise ModelError(
                f"no shared memory for a batch of {size / 1e6:,.0f} MB ({exc}): {WAY_OUT}"
            ) from exc
        try:
            _reserve(memory.name, size)
        except OSError as exc:
            memory.close()
            memory.unlink()
            raise ModelError(
                f"{PLACE} has no room for a batch of {size / 1e6:,.0f} MB: {WAY_OUT}"
            ) from exc
        return cls(memory, shape)

    @classmethod
    def attach(cls, name: str, shape: tuple[int, int, int, int]) -> "Slot":
        """The one that another process made."""
        return cls(SharedMemory(name), shape)

    @property
    def name(self) -> str:
        """What the other process attaches it by."""
        return self._memory.name

    def forget_name(self) -> None:
        """Once both processes have it: however they end now, nothing is left behind."""
        with suppress(FileNotFoundError):
            self._memory.unlink()

    def close(self) -> None:
        """Give the memory back."""
        self.pixels = np.zeros((0, *self.shape[1:]), np.uint8)
        with suppress(BufferError):  # an array that someone still holds: freed with it
            self._memory.close()


def _reserve(name: str, size: int) -> None:
    """Take the memory now: what is promised and not there kills a process when it is written to."""
    file = PLACE / name.lstrip("/")
    if hasattr(os, "posix_fallocate") and file.exists():
        handle = os.open(file, os.O_RDWR)
        try:
            os.posix_fallocate(handle, 0, size)
        finally:
            os.close(handle)
