"""Time `clipdex index` with nothing new, and the commands beside it, from ten thousand files on.

Half of the files are images (stamp-sized, all different), half are not and have names without an
extension, so that their first bytes decide. They lie flat, in folders of 100, or each root holds
100. The vectors are random and written directly into the catalog: nothing is encoded. What is
measured is the installed command, and each number is the median of several runs.

usage: python benchmarks/rescan.py [--sizes 10000,50000,100000,200000] [--rounds 3]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from indexer.load import BUILT_IN, find_bundle
from indexer.store.catalog import writing
from indexer.store.collection import Collection
from indexer.store.records import Scope
from indexer.store.rows import FileRow, SavedLabel
from indexer.store.tables.base import OWN
from measure import COMMAND, report
from random_collection import make_collection, random_vectors

A_FOLDER = 100
WATCHER = """
import resource, subprocess, sys, time
began = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
LAYOUTS = ("flat", "nested", "roots")


def make_files(root: Path, layout: str, count: int) -> list[str]:
    """Make the files, and return the images' names, relative to `root`."""
    names = []
    for number in range(count):
        folder = "" if layout == "flat" else f"{number // A_FOLDER:05}/"
        if not number % A_FOLDER or not number:
            (root / folder).mkdir(parents=True, exist_ok=True)
        if number % 2:
            (root / f"{folder}{number:07}").write_bytes(b"not an image")
        else:
            names.append(f"{folder}{number:07}.jpg")
            (root / names[-1]).write_bytes(b"%d" % number)
    return names


def adopt(folder: Path, root: Path, names: list[str], layout: str) -> None:
    """Let the catalog know the files as they are, some of them with a label of the user's."""
    with writing(Collection(folder), "benchmark") as catalog, catalog.transaction():
        (number,) = catalog.roots()
        roots = {"": number}
        if layout == "roots":
            for name in {os.path.dirname(name) for name in names}:
                roots[name] = catalog.add_root(os.fsencode(root / name))
            catalog.remove_files(Scope(number, root))
        for content, name in enumerate(names, start=1):
            info = os.stat(root / name)
            inside = os.path.dirname(name) if layout == "roots" else ""
            path = os.path.basename(name) if inside else name
            row = FileRow(roots[inside], os.fsencode(path), info.st_size, info.st_mtime_ns, content)
            catalog.put_file(row)
        catalog.save_labels(SavedLabel(one, "pear", 1.0, OWN) for one in range(1, len(names), 100))


def timed(*arguments: str | Path, collection: Path, rounds: int) -> tuple[float, float]:
    """Return the median seconds of a command, and the most memory of any run in MiB.

    A process between measures it: a child begins with the peak of the one that it was forked from.
    """
    environment = {**os.environ, "CLIPDEX_COLLECTION": str(collection)}
    taken, peaks = [], []
    for _ in range(rounds):
        printed = subprocess.check_output([sys.executable, "-c", WATCHER, COMMAND, *arguments],
                                          env=environment)  # fmt: skip
        seconds, peak = printed.split()
        taken.append(float(seconds))
        peaks.append(int(peak) / 1024)
    return statistics.median(taken), max(peaks)


def row(layout: str, size: int, rounds: int) -> dict[str, Any]:
    bundle = find_bundle(BUILT_IN)
    with tempfile.TemporaryDirectory() as scratch:
        root, folder = Path(scratch, "photos"), Path(scratch, "collection")
        names = make_files(root, layout, size)
        vectors = random_vectors(len(names), bundle.dim)
        make_collection(folder, bundle, vectors, root=str(root), names=names)
        adopt(folder, root, names, layout)
        began = time.perf_counter()
        for _ in os.walk(root):
            pass
        for name in names:
            os.stat(root / name)
        bare = time.perf_counter() - began
        paths = sorted(root.iterdir()) if layout == "roots" else [root]
        options = {"collection": folder, "rounds": rounds}
        timed("index", *paths, collection=folder, rounds=1)  # which looks into the other files
        again, memory = timed("index", *paths, **options)
        found = {
            "layout": layout,
            "files": f"{size:,}",
            "walk and stat (s)": f"{bare:.2f}",
            "index again (s)": f"{again:.2f}",
            "us a file": f"{again / size * 1e6:.1f}",
            "MiB": f"{memory:.0f}",
        }
        if layout != "nested":
            return found
        for command, arguments in {
            "search": ("search", "a dog"),
            "status": ("status",),
            "--label": ("search", "a dog", "--label", "dog>0.9"),
            "label": ("label", "--labels", "cat,dog"),
            "forget 50": ("forget", root / "00000"),
            "duplicates": ("duplicates",),
        }.items():
            seconds, _ = timed(*arguments, **{**options, "rounds": 1})
            found[command] = f"{seconds:.2f}"
        return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", default="10000,50000,100000,200000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--layouts", default=",".join(LAYOUTS))
    asked = parser.parse_args()
    rows = [
        row(layout, int(size), asked.rounds)
        for layout in asked.layouts.split(",")
        for size in asked.sizes.split(",")
    ]
    columns = dict.fromkeys(name for one in rows for name in one)
    rows = [{name: one.get(name, "") for name in columns} for one in rows]
    report("rescan", "Indexing again with nothing new, and the commands beside it", rows)


if __name__ == "__main__":
    main()
