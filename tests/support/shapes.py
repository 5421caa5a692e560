"""Images of three kinds, in drawn colours and places: classes that examples can teach."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ("disc", "stripes", "grain")


def draw(path: Path, kind: str, seed: int) -> Path:
    """An image of one of three kinds, in drawn colours and places."""
    random = np.random.default_rng([seed, CLASSES.index(kind)])
    back, front = (tuple(int(v) for v in random.integers(0, 256, 3)) for _ in range(2))
    image = Image.new("RGB", (160, 160), back)
    pen = ImageDraw.Draw(image)
    if kind == "disc":
        for x, y, size in random.integers(10, 80, (3, 3)).tolist():
            pen.ellipse((x, y, x + size, y + size), fill=front)
    elif kind == "stripes":
        left = 0
        while left < 160:
            width, gap = random.integers(4, 18, 2).tolist()
            pen.rectangle((left, 0, left + width, 160), fill=front)
            left += width + gap
    else:
        image = Image.fromarray(random.integers(0, 256, (160, 160, 3), dtype=np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def labelled(folder: Path, seeds: range) -> Path:
    for kind in CLASSES:
        for seed in seeds:
            draw(folder / kind / f"{seed}.png", kind, seed)
    return folder
