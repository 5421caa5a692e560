"""Time a whole `clipdex search`, process included, and the imports that any search needs.

usage: python benchmarks/cold_search.py [--images 10000] [--rounds 9]
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from indexer import build
from indexer.load import BUILT_IN, find_bundle
from indexer.testing import FakeEncoder
from measure import COMMAND, report, seconds, spread

IMPORTS = "import numpy, onnxruntime, faiss"
QUERY = ("a", "dog", "on", "a", "beach")


def make_collection(folder: Path, count: int) -> Path:
    """A collection of `count` vectors that the built-in model takes for its own."""
    bundle = find_bundle(BUILT_IN)
    photos = folder / "photos"
    photos.mkdir()
    random = np.random.default_rng(0)
    for number in range(count):
        dots = random.integers(0, 256, size=(8, 8, 3), dtype=np.uint8)
        Image.fromarray(dots).save(photos / f"{number:06}.bmp")
    encoder = FakeEncoder(dim=bundle.dim, fingerprint=bundle.fingerprint)
    encoder.name = BUILT_IN
    build([photos], collection=folder / "collection", encoder=encoder, batch_size=256)
    return folder / "collection"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        collection = make_collection(Path(scratch), asked.images)
        search = [COMMAND, "search", *QUERY, "--json", "--collection", collection]
        imports = [sys.executable, "-c", IMPORTS]
        timed: dict[str, list[float]] = {"imports": [], "search": []}
        seconds(imports)
        seconds(search)
        for _ in range(asked.rounds):
            timed["imports"].append(seconds(imports))
            timed["search"].append(seconds(search))
    ratio = statistics.median(timed["search"]) / statistics.median(timed["imports"])
    row = {
        "images": f"{asked.images:,}",
        f'`python -c "{IMPORTS}"`, s': spread(timed["imports"]),
        "`clipdex search`, s": spread(timed["search"]),
        "ratio of the medians": f"{ratio:.2f}",
    }
    report("cold_search", "Cold search", [row], seconds=timed, ratio=ratio)


if __name__ == "__main__":
    main()
