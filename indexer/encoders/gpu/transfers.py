"""Images to a device and vectors back, beside the computing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from indexer.devices.torch_device import selected, translated
from indexer.encoder import Embeddings, Pixels


@dataclass(frozen=True)
class Arrival:
    """Vectors `(n, dim)` on their way back; event: the device's, done when they are here, or None
    where they are.
    """

    vectors: torch.Tensor
    event: Any

    def ready(self) -> bool:
        """Whether waiting would take no time."""
        return self.event is None or bool(self.event.query())

    def wait(self) -> Embeddings:
        """The vectors, once they are here."""
        if self.event is not None:
            self.event.synchronize()
        vectors: Embeddings = self.vectors.cpu().numpy()
        return vectors


class Transfers:
    """On CUDA a batch is copied on a stream of its own, while the one before is computed; the
    computing and the way back follow each other on the current stream.

    Source: PyTorch's notes on CUDA semantics (asynchronous execution, pinned memory) and
    `torch.Tensor.record_stream`.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None

    def run(self, pixels: Pixels, forward: Callable[[torch.Tensor], torch.Tensor]) -> Arrival:
        """Start `forward` on `(n, 3, h, w)` uint8, on the device. `pixels` must stay as they are
        until the vectors have arrived.

        Raises OutOfMemory and ModelError.
        """
        with translated(self.device, len(pixels)), selected(self.device), torch.inference_mode():
            source = torch.from_numpy(np.require(pixels, requirements=("C", "W")))
            if self._copies is not None:
                return self._run_on_cuda(source, forward, self._copies)
            vectors = forward(source.to(self.device))
            if self.device.type == "cpu":
                return Arrival(vectors, None)
            event = torch.mps.event.Event()
            event.record()
            return Arrival(vectors, event)

    def _run_on_cuda(
        self,
        source: torch.Tensor,
        forward: Callable[[torch.Tensor], torch.Tensor],
        copies: torch.cuda.Stream,
    ) -> Arrival:
        compute = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(copies):
            # Only from page-locked memory does a copy run beside the computing.
            locked = source if source.is_pinned() else source.pin_memory()
            there = locked.to(self.device, non_blocking=True)
        compute.wait_stream(copies)
        there.record_stream(compute)  # its memory belongs to the copying stream
        vectors = forward(there)
        back = torch.empty(vectors.shape, dtype=vectors.dtype, pin_memory=True)
        back.copy_(vectors, non_blocking=True)
        event = torch.cuda.Event()
        event.record(compute)
        return Arrival(back, event)
