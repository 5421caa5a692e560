"""Measure the peak memory of `clipdex index` at two sizes; only the vectors may add to it.

usage: python benchmarks/memory.py [--images 2000,20000]
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from indexer.load import BUILT_IN, find_bundle
from measure import COMMAND, report
from photos import make_photos


def peak_mebibytes(command: list[str | Path]) -> float:
    """Return the maximum resident set of one command, in MiB."""
    watcher = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, "
        "stdout=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    printed = subprocess.check_output([sys.executable, "-c", watcher, *command])
    unit = 1 if sys.platform == "darwin" else 1024
    return int(printed) * unit / 2**20


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", default="2000,20000")
    counts = [int(count) for count in parser.parse_args().images.split(",")]
    dim = find_bundle(BUILT_IN).dim
    rows, peaks = [], []
    with tempfile.TemporaryDirectory() as scratch:
        for count in counts:
            photos = make_photos(Path(scratch) / str(count), count, (400, 300), different=100)
            collection = Path(scratch) / f"collection-{count}"
            peaks.append(peak_mebibytes([COMMAND, "index", photos, "--collection", collection]))
            vectors = 4 * dim * (count - counts[0]) / 2**20
            allowed = peaks[0] * 1.1 + vectors
            rows.append(
                {
                    "images": f"{count:,}",
                    "peak, MiB": f"{peaks[-1]:.0f}",
                    "allowed (first + 10% + 4 x dim a vector), MiB": f"{allowed:.0f}",
                }
            )
    report("memory", "Peak memory of indexing", rows, peaks=peaks)


if __name__ == "__main__":
    main()
