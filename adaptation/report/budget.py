"""How many epochs fit into the minutes that a user has."""

import time
from collections.abc import Sequence

import numpy as np
import torch

from adaptation.data.examples import Examples
from adaptation.tuning.settings import Tuning
from indexer.bundles.bundle import Bundle
from indexer.openclip.image_tower import ImageTower, build_visual

# A forward pass takes about a third of a training step, and the interpolation makes eleven passes
# over a fifth of the images.
PASS = 1 / 3
HELD_OUT = 0.2
MIXTURES = 11
# Compiling the tuned model and encoding the images with it, beside the passes.
COMPILING = 40.0


class Budget:
    """The time that is left for the ways of learning that train a tower.

    Args:
        seconds: For everything; None for as long as it takes.
    """

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self.left = seconds or 0.0
        self.waiting = 0
        self._rate: float | None = None

    def start(self, methods: Sequence[str]) -> None:
        """Say which ways still have to train."""
        self.waiting = len(methods)

    def spent(self, seconds: float, *, trained: bool = False) -> None:
        """Take off what a way took."""
        self.left -= seconds
        self.waiting -= trained

    def epochs(self, bundle: Bundle, learn: Examples, most: int, interpolated: bool) -> int:
        """Return how many epochs a way may take; 0 if not even one fits.

        Args:
            bundle: The model that is trained.
            learn: The images that it is trained on.
            most: The most that it should take.
            interpolated: Whether the weights are moved back towards the old ones in the end.
        """
        if self.seconds is None:
            return most
        step = self._rate = self._rate or seconds_per_image(bundle)
        images = len(learn.targets)
        epoch = images * step * (1 - HELD_OUT + HELD_OUT * PASS)
        after = images * step * PASS * (1 + (MIXTURES * HELD_OUT if interpolated else 0))
        share = self.left / max(self.waiting, 1) - after - (COMPILING if interpolated else 0)
        fitting = max(0, min(most, int(share / epoch)))
        if fitting == 0:
            self.waiting -= 1
        return fitting

    def refusal(self, title: str) -> str:
        """Return why a way was left out."""
        minutes = (self.seconds or 0) / 60
        return (
            f"{title} was left out: not one epoch of it fits into what is left of {minutes:g} "
            "minutes; --budget gives more"
        )


def seconds_per_image(bundle: Bundle) -> float:
    """Return how long a training step takes an image here, at its fastest of a few.

    The weights and pixels are random: they do not matter.
    """
    size = Tuning.at_once
    tower = ImageTower(build_visual(bundle.architecture), bundle.image, "fp32")
    pixels = np.random.default_rng(0).random((size, 3, *bundle.image.size), dtype=np.float32)
    times = []
    for _ in range(3):
        began = time.perf_counter()
        tower(torch.from_numpy(pixels)).sum().backward()
        times.append(time.perf_counter() - began)
    return min(times) / size
