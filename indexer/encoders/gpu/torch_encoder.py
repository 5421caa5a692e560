"""open_clip's image tower with torch, on a GPU or (for tests) the CPU."""

import gc

import numpy as np
import torch
from torch import nn

from indexer.bundles.bundle import Bundle
from indexer.bundles.samples import sample_images
from indexer.devices.torch_device import (
    Precision,
    default_precision,
    find_device,
    release_cache,
    translated,
)
from indexer.encoder import Embeddings, Pixels, require_unit
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.errors import OutOfMemory
from indexer.openclip.image_tower import ImageTower

# What half precision must keep of each vector: the cosine with float32's.
MIN_COSINE = 0.999
PRECISIONS: tuple[Precision, ...] = ("bf16", "fp16", "fp32")
TEST_IMAGES = 4
# The contrast of pale images. With the built-in model these predict photos: minimum cosines of
# 0.93 in bf16 and 0.9997 in fp16, as with the palest of scikit-image's.
PALE = 0.1
# Batches are computed as large as they come, until memory runs out.
UNBOUNDED = 2**30


class TorchEncoder(OnnxEncoder):
    """A bundle whose images are encoded by open_clip's tower on one device.

    Its texts are encoded by ONNX Runtime.

    Args:
        visual: open_clip's image tower, which is moved to the device.
        device: "cpu", "cuda", "cuda:1" or "mps".
        precision: What the tower computes in; the device's own where it is not named.
        batch_size: The most images at once; halved where memory runs out.

    Raises:
        DeviceUnavailable: There is no such device.
        OutOfMemory: The tower itself does not fit.
    """

    def __init__(
        self,
        bundle: Bundle,
        visual: nn.Module,
        *,
        device: str = "cpu",
        precision: Precision | None = None,
        batch_size: int = UNBOUNDED,
    ) -> None:
        super().__init__(bundle, device="cpu")
        self.batch_size = batch_size
        self._device = find_device(device)
        tower = ImageTower(visual, bundle.image, precision or default_precision(self._device))
        with translated(self._device, 0):
            self.tower = tower.to(self._device)

    @property
    def precision(self) -> Precision:
        """What the tower computes in."""
        return self.tower.precision

    def encode_images(self, pixels: Pixels) -> Embeddings:
        """Encode `(n, 3, h, w)` uint8 to `(n, dim)` float32 of unit norm."""
        return self.encode(torch.from_numpy(pixels if pixels.flags.writeable else pixels.copy()))

    def encode(self, pixels: torch.Tensor) -> Embeddings:
        """Encode a tensor `(n, 3, h, w)` uint8 on the CPU, quickest from pinned memory.

        Raises:
            OutOfMemory: One image alone does not fit.
            VectorsError: What the model gives are no unit vectors.
            ModelError: The model failed.
        """
        vectors = np.empty((len(pixels), self.dim), np.float32)
        at = 0
        while at < len(pixels):
            part = pixels[at : at + self.batch_size]
            try:
                vectors[at : at + len(part)] = self._forward(part)
                at += len(part)
                continue
            except OutOfMemory as exc:
                if len(part) == 1:
                    raise OutOfMemory(f"{exc}: use --device cpu, or a smaller model") from exc
            # Only here: the exception holds on to the tensors of the attempt, in a circle.
            gc.collect()
            self.batch_size = len(part) // 2
            release_cache(self._device)
        bad = ~np.isfinite(vectors).all(axis=1)
        if bad.any() and self.precision != "fp32":
            # Numbers beyond half precision's range: a few images' own, or all of a model's.
            vectors[bad] = self._in_float32(pixels[torch.from_numpy(bad)])
        return require_unit(vectors, len(pixels), self.dim, self.name)

    def settle_precision(self) -> float:
        """Use the first of the present precision and those after it that keeps the vectors.

        Half of the test images have little contrast: it is theirs that rounding moves farthest.

        Returns:
            The minimum cosine of the test images' vectors with those of float32.
        """
        images = [self.preprocess.pixels(one) for one in sample_images(TEST_IMAGES)]
        pale = [PALE * one + 115 for one in images]
        pixels = torch.from_numpy(np.stack([*images, *pale]).astype(np.uint8))
        full = self._in_float32(pixels)
        minimum = -1.0
        for precision in PRECISIONS[PRECISIONS.index(self.precision) :]:
            self.tower.precision = precision
            minimum = float((self._forward(pixels) * full).sum(axis=1).min())
            if minimum >= MIN_COSINE:  # not so where it is not a number
                break
        return minimum

    def _forward(self, pixels: torch.Tensor) -> Embeddings:
        with translated(self._device, len(pixels)), torch.inference_mode():
            vectors: Embeddings = (
                self.tower(pixels.to(self._device, non_blocking=True)).cpu().numpy()
            )
        return vectors

    def _in_float32(self, pixels: torch.Tensor) -> Embeddings:
        precision, self.tower.precision = self.tower.precision, "fp32"
        try:
            return self._forward(pixels)
        finally:
            self.tower.precision = precision
