"""The encoder that runs open_clip's image tower with torch, on a GPU or (for tests) the CPU.

A batch is submitted and collected in two steps, since a GPU works behind the program's back: the
copy of a batch to it, on a stream of its own, runs while the batch before is computed.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from torch import nn

from indexer.bundles.bundle import Bundle
from indexer.bundles.samples import sample_images
from indexer.devices.torch_device import (
    Precision,
    default_precision,
    find_device,
    memory_in_use,
    page_lock,
    release_cache,
    translated,
)
from indexer.encoder import Embeddings, Pixels
from indexer.encoders.gpu import compile_policy
from indexer.encoders.gpu.batch_size import SMALLEST_TRIAL, Halving, find_batch_size
from indexer.encoders.gpu.transfers import Arrival, Transfers
from indexer.images.preprocess import Preprocess
from indexer.openclip.image_tower import ImageTower

# What half precision must keep of each vector: the cosine with float32's.
MIN_COSINE = 0.999
PRECISIONS: tuple[Precision, ...] = ("bf16", "fp16", "fp32")
TEST_IMAGES = 4
# The contrast of pale images. With the built-in model these predict photos: least cosines of 0.93
# in bf16 and 0.9997 in fp16, as with the palest of scikit-image's.
PALE = 0.1
# How long a speed is measured, in seconds and batches.
MEASURED_SECONDS = 0.5
MEASURED_BATCHES = 3


@dataclass(frozen=True)
class Metadata:
    """What an encoder is beside its image tower. encode_texts: n texts to `(n, dim)`."""

    name: str
    fingerprint: str
    dim: int
    preprocess: Preprocess
    encode_texts: Callable[[list[str]], Embeddings]


@dataclass(frozen=True)
class Ticket:
    """A submitted batch: its pixels, and its vectors on their way, in parts."""

    pixels: Pixels
    parts: list[Arrival]


class TorchEncoder:
    """open_clip's image tower on one device.

    visual: the tower, which is moved to the device. device: "cpu", "cuda", "cuda:1", "mps".
    precision: the device's own (`torch_device.default_precision`) where it is not named.
    batch_size: images at once; larger batches are encoded in parts.

    Raises DeviceUnavailable, and OutOfMemory where the tower itself does not fit.
    """

    def __init__(
        self,
        visual: nn.Module,
        metadata: Metadata,
        *,
        device: str = "cpu",
        precision: Precision | None = None,
        batch_size: int = SMALLEST_TRIAL,
    ) -> None:
        self.device = find_device(device)
        self.metadata = metadata
        tower = ImageTower(visual, metadata.preprocess, precision or default_precision(self.device))
        with translated(self.device, 0):
            self.tower = tower.to(self.device)
        self._halving = Halving(batch_size, lambda: release_cache(self.device))
        self._compiled: Callable[[torch.Tensor], torch.Tensor] | None = None
        self._compiled_for = 0
        self._transfers = Transfers(self.device)
        self._lock = Lock()

    @property
    def name(self) -> str:
        """The model's name."""
        return self.metadata.name

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.metadata.dim

    @property
    def fingerprint(self) -> str:
        """Hash of weights, architecture, preprocessing and tokenizer: half precision moves a
        vector by less than models differ, so it is not part of it.
        """
        return self.metadata.fingerprint

    @property
    def preprocess(self) -> Preprocess:
        """How an image becomes pixels."""
        return self.metadata.preprocess

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the pixels."""
        return self.metadata.preprocess.size

    @property
    def precision(self) -> Precision:
        """What the tower computes in."""
        return self.tower.precision

    @property
    def batch_size(self) -> int:
        """Images at once; falls where memory runs out."""
        return self._halving.limit

    def encode_images(self, pixels: Pixels) -> Embeddings:
        """`(n, 3, h, w)` uint8 to `(n, dim)` float32 of unit norm; two parts are under way at a
        time.

        Raises OutOfMemory where one image alone does not fit, and ModelError.
        """
        flying: deque[Ticket] = deque()
        parts = [np.zeros((0, self.dim), np.float32)]
        with self._lock:
            for at in range(0, len(pixels), self.batch_size):
                flying.append(self.submit(pixels[at : at + self.batch_size]))
                if len(flying) > 1:
                    parts.append(self.collect(flying.popleft()))
            parts.extend(self.collect(ticket) for ticket in flying)
        return np.concatenate(parts)

    def encode_texts(self, texts: list[str]) -> Embeddings:
        """n texts to `(n, dim)` float32 of unit norm, not on the device."""
        return self.metadata.encode_texts(texts)

    def submit(self, pixels: Pixels) -> Ticket:
        """Start on `(n, 3, h, w)`, which must stay as they are until the ticket is collected."""
        parts = self._halving.run(len(pixels), lambda part: self._send(pixels[part]))
        return Ticket(pixels, parts)

    def ready(self, ticket: Ticket) -> bool:
        """Whether collecting would not wait."""
        return all(part.ready() for part in ticket.parts)

    def collect(self, ticket: Ticket) -> Embeddings:
        """The vectors of a submitted batch, waiting for them if need be."""
        vectors = self._arrived(ticket)
        bad = ~np.isfinite(vectors).all(axis=1)
        if bad.any() and self.precision != "fp32":
            # Numbers beyond half precision's range: a few images' own, or all of a model's.
            vectors[bad] = self._in_float32(ticket.pixels[bad])
        return vectors

    def pin(self, buffer: Pixels) -> bool:
        """Make copying from `buffer` to the device faster; whether that was possible."""
        return page_lock(self.device, buffer)

    def find_batch_size(self, most: int) -> int:
        """Find by trial how many images fit, `most` at the utmost, and use that from now on."""
        release_cache(self.device)
        self._halving.limit = most
        self._halving.limit = find_batch_size(self._try, most=most, idle=memory_in_use(self.device))
        return self._halving.limit

    def set_batch_size(self, size: int) -> None:
        """Encode that many images at once from now on."""
        self._halving.limit = size

    def settle_precision(self) -> float:
        """Use the present precision from now on, or the next of bf16, fp16 and fp32 that keeps the
        vectors of test images; returns their least cosine with float32's.

        Half of the images have little contrast: it is theirs that rounding moves farthest.
        """
        images = [self.preprocess.pixels(one) for one in sample_images(TEST_IMAGES)]
        pixels = np.stack([*images, *(PALE * one + 115 for one in images)]).astype(np.uint8)
        full = self._in_float32(pixels)
        least = -1.0
        for precision in PRECISIONS[PRECISIONS.index(self.precision) :]:
            self.tower.precision = precision
            least = float((self._arrived(self.submit(pixels)) * full).sum(axis=1).min())
            if least >= MIN_COSINE:  # not so where it is not a number
                break
        return least

    def images_per_second(self) -> float:
        """How fast full batches go through."""
        batch = self._blank(self.batch_size)
        self.encode_images(batch)
        rounds, began = 0, time.perf_counter()
        while rounds < MEASURED_BATCHES or time.perf_counter() - began < MEASURED_SECONDS:
            self.encode_images(batch)
            rounds += 1
        return rounds * len(batch) / (time.perf_counter() - began)

    def compile(self) -> bool:
        """Compile the tower for full batches, and keep that if it is faster; whether it is."""

        def compile_tower() -> None:
            self._compiled, self._compiled_for = torch.compile(self.tower), self.batch_size

        if not compile_policy.is_faster(compile_tower, self.images_per_second):
            self._compiled = None
        return self._compiled is not None

    def _try(self, size: int) -> float:
        """Encode two batches of `size`, as many as are under way at a time, and tell how full
        the device's memory is.
        """
        release_cache(self.device)
        batch = self._blank(size)
        self._arrived(Ticket(batch, [self._send(batch), self._send(batch)]))
        return memory_in_use(self.device)

    def _blank(self, size: int) -> Pixels:
        return np.zeros((size, 3, *self.image_size), np.uint8)

    def _arrived(self, ticket: Ticket) -> Embeddings:
        with translated(self.device, len(ticket.pixels)):
            return np.concatenate([part.wait() for part in ticket.parts])

    def _in_float32(self, pixels: Pixels) -> Embeddings:
        precision, self.tower.precision = self.tower.precision, "fp32"
        compiled, self._compiled = self._compiled, None
        try:
            return self._arrived(self.submit(pixels))
        finally:
            self.tower.precision, self._compiled = precision, compiled

    def _send(self, pixels: Pixels) -> Arrival:
        return self._transfers.run(pixels, self._forward)

    def _forward(self, pixels: torch.Tensor) -> torch.Tensor:
        size = self._compiled_for
        if self._compiled is None or len(pixels) > size or self.batch_size < size:
            vectors: torch.Tensor = self.tower(pixels)
            return vectors
        # Another size would be compiled anew.
        filled = nn.functional.pad(pixels, (0, 0, 0, 0, 0, 0, 0, size - len(pixels)))
        return self._compiled(filled)[: len(pixels)]


def runner_of(bundle: Bundle, device: str) -> TorchEncoder:
    """A bundle's image tower on a device, in the device's own precision if that gives float32's
    vectors; for a process that does nothing else.

    Raises DeviceUnavailable, or ModelError where the tower is not to be had.
    """
    from indexer.weights.image_tower_cache import obtain_tower

    from .onnx_encoder import OnnxEncoder

    # Batches are of one size, so that the fastest convolution is worth looking for.
    torch.backends.cudnn.benchmark = True
    if find_device(device).type == "cpu":  # the others have the other cores
        torch.set_num_threads(1)
    texts = OnnxEncoder(bundle, device="cpu").encode_texts
    metadata = Metadata(bundle.name, bundle.fingerprint, bundle.dim, bundle.image, texts)
    encoder = TorchEncoder(obtain_tower(bundle), metadata, device=device)
    encoder.settle_precision()
    return encoder
