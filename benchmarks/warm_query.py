"""Time a query in a process that is already running: encoding, searching, counting, the whole.

usage: python benchmarks/warm_query.py [--images 10000,100000] [--rounds 200]
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from indexer.load import BUILT_IN, find_bundle
from measure import report
from random_collection import make_collection, random_vectors
from search import Engine

WORDS = ("dog", "beach", "red bicycle", "snowy mountain", "child with a kite", "old book")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", default="10000,100000")
    parser.add_argument("--rounds", type=int, default=200)
    asked = parser.parse_args()
    bundle = find_bundle(BUILT_IN)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for count in map(int, asked.images.split(",")):
            vectors = random_vectors(count, bundle.dim)
            folder = make_collection(Path(scratch) / str(count), bundle, vectors)
            with Engine.open(folder) as engine:
                steps = ("encode", "vectors", "count", "whole")
                timed: dict[str, list[float]] = {step: [] for step in steps}
                engine.search("warm up")
                for number in range(asked.rounds):
                    text = f"{WORDS[number % len(WORDS)]} {number}"
                    began = time.perf_counter()
                    vector = engine.encoder.encode_texts([text])[0]
                    encoded = time.perf_counter()
                    engine.index.search(vector, 10)
                    found = time.perf_counter()
                    least = float(np.sort(vectors[:1000] @ vector)[-10])  # a hundredth matches
                    counting = time.perf_counter()
                    engine.index.above(vector, least)
                    counted = time.perf_counter()
                    engine.search(text + " again", k=10)
                    timed["encode"].append(1000 * (encoded - began))
                    timed["vectors"].append(1000 * (found - encoded))
                    timed["count"].append(1000 * (counted - counting))
                    timed["whole"].append(1000 * (time.perf_counter() - counted))
            p50 = {key: f"{np.percentile(value, 50):.2f}" for key, value in timed.items()}
            rows.append(
                {
                    "images": f"{count:,}",
                    "encode text, ms": p50["encode"],
                    "search vectors, ms": p50["vectors"],
                    "count matches, ms": p50["count"],
                    "whole query, ms (p50)": p50["whole"],
                    "whole query, ms (p99)": f"{np.percentile(timed['whole'], 99):.2f}",
                }
            )
    report("warm_query", "Warm query", rows)


if __name__ == "__main__":
    main()
