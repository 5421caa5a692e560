"""Makes JPEGs to measure with from sample photos, so that they compress and decode like photos."""

import io
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

SOURCES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "retina.jpg")


def make_photos(folder: Path, count: int, size: tuple[int, int], *, different: int = 20) -> Path:
    """`count` JPEGs of `size` (width, height), no two of the same bytes.

    `different` images are made; the others are those with a comment after the image's end,
    another content for an indexer and the same work for a decoder.
    """
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    data = Path(spec.origin).parent / "data"
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for number in range(min(count, different)):
        image = Image.open(data / SOURCES[number % len(SOURCES)]).convert("RGB")
        left, top = (int(random.integers(0, side // 4)) for side in image.size)
        image = image.crop((left, top, *image.size)).resize(size, Image.Resampling.BICUBIC)
        noise = random.integers(-9, 10, size=(size[1], size[0], 1), dtype=np.int16)
        grainy = np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(grainy).save(buffer, "JPEG", quality=88)
        made.append(buffer.getvalue())
    for number in range(count):
        data_of = made[number % len(made)] + b"%08d" % number
        (folder / f"{number:06}.jpg").write_bytes(data_of)
    return folder
