"""Measure what reduced-scale decoding does to vectors: the cosine with full decoding.

Each photo of a folder is enlarged, with one of three filters and the grain that a camera adds, so
that it compresses and decodes like a photo of that size. For comparison, the cosine is measured
when the model's own 8-bit input changes randomly by one level.

usage: python benchmarks/reduced_decode.py PHOTOS [--count 200] [--margin 2.5] [--side 3000]
    PHOTOS: a folder of JPEGs, searched for at any depth
"""

import argparse
import io
import time
from pathlib import Path

import numpy as np
from PIL import Image

from indexer.encoder import Pixels
from indexer.images import decode_here as decoding
from indexer.images.decode import Limits, decode
from indexer.images.preprocess import preprocess_of
from indexer.load import load_encoder
from measure import report

FILTERS = (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BILINEAR)
QUALITIES = (80, 88, 95)


def enlarged(file: Path, side: int, number: int, random: np.random.Generator) -> bytes:
    """A JPEG whose long side has `side` pixels."""
    image = Image.open(file).convert("RGB")
    factor = side / max(image.size)
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
    parser.add_argument("--side", type=int, default=3000)
    asked = parser.parse_args()
    decoding.REDUCTION_MARGIN = asked.margin
    files = sorted(file for file in asked.photos.rglob("*") if file.suffix.lower() == ".jpg")
    files = files[:: max(1, len(files) // asked.count)][: asked.count]
    random = np.random.default_rng(0)
    encoder = load_encoder()
    preprocess = preprocess_of(encoder)
    spent = {"full": 0.0, "reduced": 0.0}

    def pixels(data: bytes, at_least: tuple[int, int] | None) -> Pixels:
        began = time.perf_counter()
        found = preprocess.pixels(decode(data, Limits(), at_least=at_least).image)
        spent["reduced" if at_least else "full"] += time.perf_counter() - began
        return found

    cosines, moved = [], []
    for number, file in enumerate(files):
        data = enlarged(file, asked.side, number, random)
        full, reduced = pixels(data, None), pixels(data, preprocess.size)
        grain = random.integers(-1, 2, full.shape)
        grainy = np.clip(full.astype(int) + grain, 0, 255).astype(np.uint8)
        truth, *others = encoder.encode_images(np.stack([full, reduced, grainy]))
        cosines.append(float(truth @ others[0]))
        moved.append(float(truth @ others[1]))
    worst = files[int(np.argmin(cosines))].relative_to(asked.photos)
    rows = [
        {
            "photos": len(files),
            "margin": asked.margin,
            "cosine, median": f"{np.median(cosines):.5f}",
            "5th percentile": f"{np.percentile(cosines, 5):.5f}",
            "minimum": f"{min(cosines):.5f}",
            "one level of grain: median, minimum": f"{np.median(moved):.3f}, {min(moved):.3f}",
            "decode and resize, full, ms": f"{1000 * spent['full'] / len(files):.1f}",
            "reduced, ms": f"{1000 * spent['reduced'] / len(files):.1f}",
        }
    ]
    report("reduced_decode", f"Reduced-scale decoding, photos of {asked.side:,} pixels", rows,
           worst=str(worst))  # fmt: skip


if __name__ == "__main__":
    main()
