"""Runners for the processes of a device, without torch: each fails in its own way, or in none."""

import os
import time
from typing import Any

import numpy as np

from indexer.bundles.bundle import Bundle
from indexer.encoder import Embeddings, Pixels, unit
from indexer.errors import DeviceUnavailable, OutOfMemory

DIM = 8


def vectors_of(pixels: Pixels) -> Embeddings:
    """What the runner gives for `(n, 3, h, w)`: something of each image, in order."""
    sums = pixels.reshape(len(pixels), DIM, -1).sum(axis=2, dtype=np.float64)
    return unit(sums + 1)


class PlainRunner:
    """As slow as asked; keeps to the interface of `TorchEncoder`."""

    precision = "plain"
    seconds = 0.0
    fits = 64

    def submit(self, pixels: Pixels) -> Any:
        return vectors_of(pixels), time.monotonic() + self.seconds

    def ready(self, ticket: Any) -> bool:
        return time.monotonic() >= ticket[1]

    def collect(self, ticket: Any) -> Embeddings:
        return ticket[0]

    def pin(self, buffer: Pixels) -> bool:
        return False

    def find_batch_size(self, most: int) -> int:
        return min(most, self.fits)

    def set_batch_size(self, size: int) -> None:
        self.size = size

    def images_per_second(self) -> float:
        return 1e6

    def compile(self) -> bool:
        return True


class SlowRunner(PlainRunner):
    seconds = 0.05


class FailingRunner(PlainRunner):
    """Fails on images that begin with 13, and on the rest not."""

    def submit(self, pixels: Pixels) -> Any:
        if (pixels[:, 0, 0, 0] == 13).any():
            raise ValueError("an unlucky image")
        return super().submit(pixels)


class FullRunner(PlainRunner):
    def submit(self, pixels: Pixels) -> Any:
        raise OutOfMemory("the memory of fake:0 does not hold a batch")


class DyingRunner(PlainRunner):
    """Ends its process on images that begin with 13."""

    def submit(self, pixels: Pixels) -> Any:
        if (pixels[:, 0, 0, 0] == 13).any():
            os._exit(7)
        return super().submit(pixels)


class CompilingRunner(PlainRunner):
    def images_per_second(self) -> float:
        return 0.001


class DrawingRunner(SlowRunner):
    """Gives vectors of any length, drawn from each image's sum."""

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def submit(self, pixels: Pixels) -> Any:
        draws = [np.random.default_rng(int(one.sum())).standard_normal(self.dim) for one in pixels]
        return unit(np.stack(draws)), time.monotonic() + self.seconds


def plain(bundle: Bundle, device: str) -> PlainRunner:
    return PlainRunner()


def slow(bundle: Bundle, device: str) -> PlainRunner:
    return SlowRunner()


def drawing(bundle: Bundle, device: str) -> PlainRunner:
    return DrawingRunner(bundle.dim)


def failing(bundle: Bundle, device: str) -> PlainRunner:
    return FailingRunner()


def full(bundle: Bundle, device: str) -> PlainRunner:
    return FullRunner()


def dying(bundle: Bundle, device: str) -> PlainRunner:
    return DyingRunner()


def compiling(bundle: Bundle, device: str) -> PlainRunner:
    return CompilingRunner()


def not_here(bundle: Bundle, device: str) -> PlainRunner:
    raise DeviceUnavailable(f"no device {device} here: use --device cpu")


def broken(bundle: Bundle, device: str) -> PlainRunner:
    raise ImportError("libcudart.so.13: cannot open shared object file")


def dead_on_arrival(bundle: Bundle, device: str) -> PlainRunner:
    os._exit(3)


def endless(bundle: Bundle, device: str) -> PlainRunner:
    time.sleep(600)
    return PlainRunner()
