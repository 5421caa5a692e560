"""Encoders for the processes of GPUs, without a model: each fails in its own way, or in none."""

import os
import time
from typing import TYPE_CHECKING

import numpy as np

from indexer.bundles.bundle import Bundle
from indexer.encoder import Embeddings, unit
from indexer.errors import DeviceUnavailable, OutOfMemory

if TYPE_CHECKING:
    import torch

# The first pixel of the image that the encoders below are told to fail at.
UNLUCKY = 13


class Drawing:
    """Draws each image's vector from the sum of its pixels."""

    precision = "drawn"
    seconds = 0.0

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def encode(self, pixels: "torch.Tensor") -> Embeddings:
        time.sleep(self.seconds)
        draws = [
            np.random.default_rng(int(one.sum())).standard_normal(self.dim)
            for one in pixels.numpy()
        ]
        return unit(np.stack(draws))


class Slow(Drawing):
    seconds = 0.2


class Failing(Drawing):
    def encode(self, pixels: "torch.Tensor") -> Embeddings:
        if (pixels[:, 0, 0, 0] == UNLUCKY).any():
            raise ValueError("an unlucky\nimage")
        return super().encode(pixels)


class Full(Drawing):
    def encode(self, pixels: "torch.Tensor") -> Embeddings:
        raise OutOfMemory("a batch of 1 does not fit into the memory of fake:0")


class Dying(Drawing):
    def encode(self, pixels: "torch.Tensor") -> Embeddings:
        if (pixels[:, 0, 0, 0] == UNLUCKY).any():
            os._exit(7)
        return super().encode(pixels)


def drawing(bundle: Bundle, device: str) -> Drawing:
    return Drawing(bundle.dim)


def slow(bundle: Bundle, device: str) -> Drawing:
    return Slow(bundle.dim)


def failing(bundle: Bundle, device: str) -> Drawing:
    return Failing(bundle.dim)


def full(bundle: Bundle, device: str) -> Drawing:
    return Full(bundle.dim)


def dying(bundle: Bundle, device: str) -> Drawing:
    return Dying(bundle.dim)


def not_here(bundle: Bundle, device: str) -> Drawing:
    raise DeviceUnavailable(f"no device {device} here: use --device cpu")


def broken(bundle: Bundle, device: str) -> Drawing:
    raise ImportError("libcudart.so.13: cannot open shared object file")


def dead_on_arrival(bundle: Bundle, device: str) -> Drawing:
    os._exit(3)


def endless(bundle: Bundle, device: str) -> Drawing:
    time.sleep(600)
    return Drawing(bundle.dim)
