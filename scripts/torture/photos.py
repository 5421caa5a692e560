"""Makes photos that differ from each other."""

import os
from pathlib import Path

import numpy as np
from PIL import Image


def make_image(path: Path, seed: int) -> None:
    """Write a JPEG of coarse noise."""
    noise = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((640, 480))
    image.save(path.with_suffix(".tmp"), "JPEG")
    os.replace(path.with_suffix(".tmp"), path)


def make_photos(folder: Path, count: int) -> None:
    """Write photos, half of them in the folder `first` and half in `second`."""
    for number in range(count):
        below = folder / ("first" if number % 2 else "second")
        below.mkdir(parents=True, exist_ok=True)
        make_image(below / f"{number}.jpg", number)
