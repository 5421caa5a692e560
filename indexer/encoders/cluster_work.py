"""What the machines of a cluster do: read and decode files, and encode what comes of them."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from indexer.encoder import Embeddings, Encoder
from indexer.errors import FingerprintMismatch
from indexer.pipeline.read import Read, Reading
from indexer.pipeline.read_ahead import Ahead, ReadAhead
from indexer.store.rows import Task


def decode(reading: Reading, tasks: list[Task]) -> list[Read]:
    """Read and decode files, of which remote ones are read ahead."""
    files = ReadAhead(iter(tasks), reading.limits)
    found: list[Read] = []
    waiting: deque[Ahead] = deque()
    try:
        while True:
            while (ahead := files.take()) is not None:
                waiting.append(ahead)
            if not waiting:
                return found
            ahead = waiting.popleft()
            found.append(reading(ahead.task, ahead.fetch))
            files.done(ahead)
    finally:
        files.close()


class NodeEncoder:
    """An encoder on a machine of the cluster, made when it is first needed.

    Args:
        make: Makes it.
        fingerprint: What its model has to be.
        dim: Length of its vectors.
    """

    def __init__(self, make: Callable[[], Encoder], fingerprint: str, dim: int) -> None:
        self._make = make
        self._fingerprint = fingerprint
        self._dim = dim
        self._encoder: Encoder | None = None

    def encode(self, files: list[Read]) -> tuple[list[Read], Embeddings]:
        """Return files without their pixels, and the vectors of those that had some.

        Raises:
            FingerprintMismatch: The model of this machine is another one.
        """
        if self._encoder is None:
            self._encoder = self._make()
            if self._encoder.fingerprint != self._fingerprint:
                raise FingerprintMismatch(
                    "a machine of the cluster has another model of this name: the same clipdex, "
                    "and the same models in its cache, are needed on each"
                )
        pixels = [file.pixels for file in files if file.pixels is not None]
        vectors: Embeddings = np.empty((0, self._dim), np.float32)
        if pixels:
            vectors = self._encoder.encode_images(np.stack(pixels))
        return [replace(file, pixels=None) for file in files], vectors
