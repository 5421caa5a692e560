"""Indexing speed against the machine's own limit, both measured in the same run.

The model's forward pass and the decoders share the cores, so no indexer can be faster than

    1 / (forward wall seconds per image + decode core-seconds per image / cores)

usage: python benchmarks/indexing.py [--rounds 5] [--large 160] [--small 800]
"""

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from indexer import build, load_encoder
from indexer.devices.cpu_count import available_cores
from indexer.images.decode import Limits, decode, read_file
from indexer.images.preprocess import preprocess_of
from indexer.store.content_hash import digest
from measure import report, spread
from photos import make_photos

SIZES = {"12 megapixels": (4000, 3000), "300 pixels": (400, 300)}


def best_batch_size(encoder, pixels) -> int:
    """Return the batch size at which the model is fastest, so that the limit is the model's."""
    return min(encoder.batch_sizes, key=lambda size: forward_seconds(encoder, pixels, size))


def forward_seconds(encoder, pixels, size: int) -> float:
    """Return wall seconds per image with every worker busy, as the indexer runs the model."""
    batch = np.stack([pixels] * size)
    repeats = 48 // size

    def work(_: int) -> None:
        for _ in range(repeats):
            encoder.encode_images(batch)

    with ThreadPoolExecutor(encoder.workers) as pool:
        began = time.perf_counter()
        list(pool.map(work, range(encoder.workers)))
        wall = time.perf_counter() - began
    return wall / (repeats * encoder.workers * size)


def stage_seconds(files: list[Path], encoder) -> dict[str, float]:
    """Return core-seconds per image of each stage before the model, on one thread."""
    preprocess, limits = preprocess_of(encoder), Limits()
    spent = dict.fromkeys(("read and hash", "decode", "resize"), 0.0)
    for file in files:
        began = time.thread_time()
        _, data = read_file(str(file).encode(), limits)
        digest(data)
        read = time.thread_time()
        decoded = decode(data, limits, at_least=preprocess.size)
        done = time.thread_time()
        preprocess.pixels(decoded.image)
        spent["read and hash"] += read - began
        spent["decode"] += done - read
        spent["resize"] += time.thread_time() - done
    return {stage: value / len(files) for stage, value in spent.items()}


def pixels_of(file: Path, encoder) -> np.ndarray:
    """Return an image's pixels as the indexer makes them; the model has then run once."""
    preprocess = preprocess_of(encoder)
    image = decode(file.read_bytes(), Limits(), at_least=preprocess.size).image
    pixels = preprocess.pixels(image)
    encoder.encode_images(pixels[np.newaxis])
    return pixels


def limit_of(stages: dict[str, float], forward: float, cores: int) -> float:
    """Return the images per second that no indexer can exceed on this machine."""
    return 1 / (forward + sum(stages.values()) / cores)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", type=int, default=160)
    parser.add_argument("--small", type=int, default=800)
    asked = parser.parse_args()
    cores = available_cores()
    rows, raw = [], {}
    with tempfile.TemporaryDirectory() as scratch:
        for (title, size), count in zip(SIZES.items(), (asked.large, asked.small), strict=True):
            folder = make_photos(Path(scratch) / str(size[0]), count, size)
            files = sorted(folder.iterdir())[:40]
            encoder = load_encoder(threads=cores)
            pixels = pixels_of(files[0], encoder)
            size_of_batch = best_batch_size(encoder, pixels)
            rounds = []
            for number in range(asked.rounds):
                stages = stage_seconds(files, encoder)
                before = forward_seconds(encoder, pixels, size_of_batch)
                done = build([folder], collection=Path(scratch) / f"{size[0]}-{number}",
                             encoder=encoder)  # fmt: skip
                # The machine's speed drifts: the limit is the mean of before and after.
                forward = (before + forward_seconds(encoder, pixels, size_of_batch)) / 2
                limit = limit_of(stages, forward, cores)
                rounds.append(
                    {
                        "images_per_second": done.images_per_second,
                        "limit": limit,
                        "share": done.images_per_second / limit,
                        "forward": forward,
                        **stages,
                    }
                )
            raw[title] = rounds
            columns = {key: [one[key] for one in rounds] for key in rounds[0]}
            ms = {key: f"{1000 * statistics.median(columns[key]):.2f}" for key in
                  ("read and hash", "decode", "resize", "forward")}  # fmt: skip
            rows.append(
                {
                    "images": f"{count} of {title}",
                    "images/s": spread(columns["images_per_second"]),
                    "limit": spread(columns["limit"]),
                    "share of the limit": spread(columns["share"]),
                    "read and hash, core ms": ms["read and hash"],
                    "decode, core ms": ms["decode"],
                    "resize, core ms": ms["resize"],
                    "forward, wall ms": ms["forward"],
                }
            )
    report("indexing", "Indexing speed", rows, rounds=raw)


if __name__ == "__main__":
    main()
