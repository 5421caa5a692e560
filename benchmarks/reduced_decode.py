"""What reduced-scale decoding does to vectors: the cosine with full decoding, on large photos.

Each photo of a folder is enlarged to what cameras and phones make, with one of three filters and
the grain that a camera adds, so that it compresses and decodes like a photo of that size.

usage: python benchmarks/reduced_decode.py PHOTOS [--count 200] [--margin 2.5]
    PHOTOS: a folder of JPEGs, searched for at any depth
"""

import argparse
import io
import time
from pathlib import Path

import numpy as np
from PIL import Image

from indexer import decode as decoding
from indexer.decode import Limits, decode
from indexer.encoder import Embeddings
from indexer.models import load_encoder
from indexer.preprocess import preprocess_of
from measure import report

LONG_SIDES = (3000, 4032, 3600, 6000)
FILTERS = (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BILINEAR)
QUALITIES = (80, 88, 95)


def enlarged(file: Path, number: int, random: np.random.Generator) -> bytes:
    """A JPEG of 3,000 pixels or more."""
    image = Image.open(file).convert("RGB")
    factor = LONG_SIDES[number % len(LONG_SIDES)] / max(image.size)
    size = (round(factor * image.width), round(factor * image.height))
    large = np.asarray(image.resize(size, FILTERS[number % len(FILTERS)]))
    strength = 3 * (1 + number // 4 % 4)
    noise = random.integers(-strength, strength + 1, size=(*large.shape[:2], 1), dtype=np.int16)
    grainy = np.clip(large + noise, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(grainy).save(buffer, "JPEG", quality=QUALITIES[number // 3 % len(QUALITIES)])
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--margin", type=float, default=decoding.REDUCTION_MARGIN)
    asked = parser.parse_args()
    decoding.REDUCTION_MARGIN = asked.margin
    files = sorted(file for file in asked.photos.rglob("*") if file.suffix.lower() == ".jpg")
    files = files[:: max(1, len(files) // asked.count)][: asked.count]
    random = np.random.default_rng(0)
    encoder = load_encoder()
    preprocess = preprocess_of(encoder)
    spent = {"full": 0.0, "reduced": 0.0}

    def vector(data: bytes, way: str) -> Embeddings:
        began = time.perf_counter()
        at_least = preprocess.size if way == "reduced" else None
        pixels = preprocess.pixels(decode(data, Limits(), at_least=at_least).image)
        spent[way] += time.perf_counter() - began
        return encoder.encode_images(pixels[np.newaxis])[0]

    cosines = []
    for number, file in enumerate(files):
        data = enlarged(file, number, random)
        cosines.append(float(vector(data, "full") @ vector(data, "reduced")))
    worst = files[int(np.argmin(cosines))].relative_to(asked.photos)
    rows = [
        {
            "photos": len(files),
            "margin": asked.margin,
            "cosine, median": f"{np.median(cosines):.5f}",
            "5th percentile": f"{np.percentile(cosines, 5):.5f}",
            "least": f"{min(cosines):.5f}",
            "decode and resize, full, ms": f"{1000 * spent['full'] / len(files):.1f}",
            "reduced, ms": f"{1000 * spent['reduced'] / len(files):.1f}",
        }
    ]
    report("reduced_decode", "Reduced-scale decoding, photos of 3,000 to 6,000 pixels", rows,
           worst=str(worst))  # fmt: skip


if __name__ == "__main__":
    main()
