"""clipdex, rclip and clip-retrieval with the same weights on the same photos and vectors.

Installs the peers from the package index, each in an environment of its own, on the first run;
that, the weights and the written stores stay in --work.

usage: python benchmarks/peers/run.py [--rounds 5] [--large 40] [--small 150] [--only indexing,...]
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from platformdirs import user_cache_path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from indexing import SIZES
from measure import report
from peers.agreement import measure_agreement
from peers.footprint import measure_disk, measure_memory
from peers.queries import measure_queries
from peers.speed import measure_indexing
from peers.stores import Stores
from peers.table import Kept, Row, as_json, as_rows
from peers.tools import Tool, all_tools
from peers.weights import ARCHITECTURE, make_weights
from photos import make_photos

PARTS = ("agreement", "indexing-12", "indexing-300", "query", "memory", "disk")
# Images that the tools' vectors are compared on.
FEW = 20


def main() -> None:
    asked = _arguments()
    work = asked.work.resolve()
    weights = make_weights(work)
    tools = [tool for tool in all_tools(weights, work) if tool.name in asked.tools]
    stores = Stores(work)
    counts = [int(count) for count in asked.images.split(",")]
    for count in sorted(counts, reverse=True):
        for tool in tools:
            stores.of(tool, count)
    ends = sorted({min(counts, key=lambda count: abs(count - 10_000)), max(counts)})
    kept = Kept(work / "figures.json")
    with tempfile.TemporaryDirectory(dir=work) as made:
        scratch = Path(made)
        photos = {
            title: make_photos(scratch / str(size[0]), count, size)
            for (title, size), count in zip(SIZES.items(), (asked.large, asked.small), strict=True)
        }
        large = photos["12 megapixels"]
        few = {
            title: make_photos(scratch / f"few-{size[0]}", FEW, size)
            for title, size in SIZES.items()
        }
        common = {"rounds": asked.rounds, "scratch": scratch}
        measures: dict[str, Callable[[], list[Row]]] = {
            "agreement": lambda: measure_agreement(tools, few, scratch=scratch),
            **{
                f"indexing-{title.partition(' ')[0]}": partial(
                    measure_indexing, tools, title, folder, bundle=weights.bundle, **common
                )
                for title, folder in photos.items()
            },
            "query": lambda: measure_queries(tools, counts, stores, rounds=asked.rounds),
            "memory": lambda: measure_memory(tools, large, ends, stores, **common),
            "disk": lambda: measure_disk(tools, ends, stores, weights),
        }
        for part in asked.only:
            kept.add(part, measures[part]())
    rows = kept.all(PARTS)
    title = f"clipdex and its peers, {ARCHITECTURE} with random weights, single precision"
    notes = _notes(all_tools(weights, work), asked.rounds)
    report("peers", title, as_rows(rows), notes=notes, figures=as_json(rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", type=int, default=40, help="photos of 12 megapixels")
    parser.add_argument("--small", type=int, default=150, help="photos of 300 pixels")
    parser.add_argument("--images", default="1000,10000,100000,500000", help="sizes of the stores")
    parser.add_argument("--only", default=",".join(PARTS), help="which of: %(default)s")
    parser.add_argument("--tools", default="clipdex,rclip,clip-retrieval", help="%(default)s")
    parser.add_argument("--work", type=Path, default=user_cache_path("clipdex") / "peers")
    asked = parser.parse_args()
    asked.only, asked.tools = asked.only.split(","), asked.tools.split(",")
    if not set(asked.only) <= set(PARTS):
        parser.error(f"--only takes some of {', '.join(PARTS)}, with commas between")
    return asked


def _notes(tools: Sequence[Tool], rounds: int) -> list[str]:
    """How to read the table."""
    return [
        *(f"{tool.name}: {tool.versions()}." for tool in tools),
        f"Medians of {rounds} rounds, with the range; in each round every tool has its turn, and "
        "another one begins. Commands run as a user runs them, offline, with their bytecode kept "
        "and files in the system's cache.",
        "The weights are drawn once and given to each in the layout that it reads: clipdex's "
        "bundle; the two ONNX files that rclip would download, exported as its own script exports "
        "them; a checkpoint whose path clip-retrieval takes in --clip_model. Nothing of the peers "
        "is changed. clip-retrieval runs with setuptools below 81 only.",
        "Indexing: (n - 1) / (wall time of n photos - median wall time of one), each into a new "
        "store; rclip's runs include a search, clip-retrieval's are `inference` with batches of 8 "
        "and a loader a core, without its `index`; its warm-up is start-up. The limit is that of "
        "`benchmarks/indexing.py`, by clipdex's stages and this model, before and after a round.",
        "Stores of a given size hold random unit vectors, the same for each tool, written by the "
        "tool's own code. clip-retrieval's FAISS index is what its `index` command chooses, an "
        "approximate one; clipdex and rclip search exactly.",
        "A cold query is a process: `clipdex search`, `rclip --no-indexing`. clip-retrieval has a "
        "server instead: the time until a process that loads what it loads has answered once (that "
        "it then ends is not counted, as it is with the others). In a running process: the median "
        "of 5 later queries; rclip's as its interactive mode does.",
        "Peak memory: the sum of the proportional set sizes of a process and its descendants, "
        "sampled each 20 ms, mapped files included, in runs that are not timed.",
        "Disk: what the tool's commands leave, without the weights; of clip-retrieval embeddings "
        "and index.",
    ]


if __name__ == "__main__":
    main()
