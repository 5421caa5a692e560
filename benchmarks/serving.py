"""Measure a server under load, by one process and by several: rate, latency, errors, memory.

usage: python benchmarks/serving.py [FOLDER...] [--seconds 10] [--rounds 3] [--connections 16,64]

Indexes the folders with the built-in model, or takes a `--collection` as it is, starts `clipdex
serve`, and sends text queries out of a list of 500 from a process of its own
(`benchmarks/load.py`). No vectors of texts are kept, so that each request is encoded. A lone
client's latency stands beside what encoding and searching cost in a bare process.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from measure import report
from search import Engine

COMMAND = Path(sys.executable).parent / "clipdex"
LOAD = Path(__file__).with_name("load.py")
LONE = 300
ROUNDS = 5
# Requests after which memory is measured.
EARLY, LATE = 1_000, 20_000


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    asked.add_argument("folders", nargs="*", type=Path)
    asked.add_argument("--collection", type=Path, help="kept; a temporary one otherwise")
    asked.add_argument("--seconds", type=float, default=10)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--other", type=Path, help="another version's command, to compare with")
    asked.add_argument(
        "--other-collection", type=Path, help="the same in that version's format; else the same one"
    )
    asked.add_argument("--connections", default="16,64")
    asked.add_argument("--only", default="load,lone,memory")
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        collection = given.collection or Path(scratch) / "collection"
        if given.folders:
            subprocess.run(
                [COMMAND, "index", *given.folders, "--collection", collection],
                check=False,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        queries = Path(scratch) / "queries.json"
        queries.write_text(json.dumps(_queries()))
        if "load" in given.only:
            _load(collection, queries, given)
        if "lone" in given.only:
            _lone(collection, queries)
        if "memory" in given.only:
            _memory(collection, queries)


def _queries() -> list[str]:
    things = (
        "dog",
        "cat",
        "child",
        "bicycle",
        "beach",
        "mountain",
        "car",
        "boat",
        "horse",
        "street",
    )
    doing = ("running", "sleeping", "in snow", "by the sea", "at night", "in red", "on grass")
    doing = (*doing, "jumping", "alone", "in a crowd")
    places = ("in a city", "in a field", "at home", "under a tree", "in the rain")
    return [f"a {thing} {how} {place}" for thing in things for how in doing for place in places]


@contextmanager
def _server(collection: Path, *options: str, command: Path = COMMAND) -> Iterator[tuple[str, int]]:
    """(address, process id)"""
    serve = [command, "serve", "--collection", collection, "--port", "0", "--no-access-log"]
    process = subprocess.Popen(
        [*serve, "--query-cache", "0", "--queue", "1024", *options],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    found = re.search(r"http://\S+", process.stderr.readline())
    assert found
    try:
        httpx.get(f"{found[0]}/readyz", timeout=60).raise_for_status()
        yield found[0], process.pid
    finally:
        process.terminate()
        process.wait()


def _load(collection: Path, queries: Path, given: argparse.Namespace) -> None:
    """Compare servers in rounds, by turns: one process, one a core, and another version's."""
    variants: dict[str, tuple[Path, list[str]]] = {}
    if given.other:
        variants["another version"] = given.other, []
    variants["one process, no batching"] = COMMAND, ["--no-batching"]
    variants["one process"] = COMMAND, []
    cores = len(os.sched_getaffinity(0))
    variants[f"{cores} processes"] = COMMAND, ["--workers", str(cores)]
    first = next(iter(variants))
    rows = []
    loads = os.getloadavg()
    for count in [int(one) for one in given.connections.split(",")]:
        measured: dict[str, list[dict[str, float]]] = {name: [] for name in variants}
        for _ in range(given.rounds):
            for name, (command, options) in variants.items():
                own = given.other_collection if command == given.other else None
                with _server(own or collection, *options, command=command) as (url, _):
                    _ask(url, queries, count, seconds=1)
                    measured[name].append(_ask(url, queries, count, seconds=given.seconds))
        for name, found in measured.items():
            ratios = [
                one["rate"] / other["rate"]
                for one, other in zip(found, measured[first], strict=True)
            ]
            rows.append(
                {
                    "connections": count,
                    "server": name,
                    "requests/s": f"{_median(found, 'rate'):.0f}",
                    "p50, ms": f"{_median(found, 'p50') * 1000:.1f}",
                    "p99, ms": f"{_median(found, 'p99') * 1000:.1f}",
                    "errors": sum(one["errors"] for one in found),
                    f"of {first}": f"{statistics.median(ratios):.2f} "
                    f"({min(ratios):.2f} to {max(ratios):.2f})",
                }
            )
    report(
        "serving",
        "Text queries over HTTP",
        rows,
        notes=[
            f"{len(json.loads(queries.read_text()))} queries; medians of {given.rounds} rounds of "
            f"{given.seconds:g} s, by turns. Load of the machine, of {cores} cores: "
            f"{loads[0]:.1f} before, {os.getloadavg()[0]:.1f} after."
        ],
    )


def _median(found: list[dict[str, float]], key: str) -> float:
    return statistics.median(one[key] for one in found)


def _ask(url: str, queries: Path, connections: int, **limit: float) -> dict[str, float]:
    options = [f"--{name}={value:g}" for name, value in limit.items()]
    done = subprocess.run(
        [sys.executable, LOAD, url, queries, f"--connections={connections}", *options],
        capture_output=True,
        check=True,
        text=True,
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def _lone(collection: Path, queries: Path) -> None:
    rounds = [_lone_round(collection, queries) for _ in range(ROUNDS)]
    encode, search, served = (statistics.median(values) for values in zip(*rounds, strict=True))
    added = sorted(over_http - one - two for one, two, over_http in rounds)
    row = {
        "encode text, ms": f"{encode:.2f}",
        "search vectors, ms": f"{search:.2f}",
        "p50 over HTTP, ms": f"{served:.2f}",
        "added, ms (at most 5)": f"{statistics.median(added):.2f}",
    }
    notes = [f"Medians of {ROUNDS} rounds; added from {added[0]:.2f} to {added[-1]:.2f} ms."]
    report("serving_lone", "A lone client", [row], notes=notes)


def _lone_round(collection: Path, queries: Path) -> tuple[float, float, float]:
    """Medians in ms: encoding a text, searching, and both over HTTP."""
    texts = json.loads(queries.read_text())[:LONE]
    with Engine.open(collection) as engine:
        engine.search("warm up")
        for _ in range(10):
            engine.encoder.encode_texts(["warm up"])
        encode, search = [], []
        for text in texts:
            began = time.perf_counter()
            (vector,) = engine.encoder.encode_texts([text])
            encoded = time.perf_counter()
            engine.index.search(vector, 20)
            encode.append(encoded - began)
            search.append(time.perf_counter() - encoded)
    with _server(collection) as (url, _):
        result = _ask(url, queries, 1, requests=LONE)
    bare = statistics.median(encode), statistics.median(search)
    return bare[0] * 1000, bare[1] * 1000, result["p50"] * 1000


def _memory(collection: Path, queries: Path) -> None:
    with _server(collection) as (url, process):
        _ask(url, queries, 16, requests=EARLY, mixed=1)
        early = _resident(process)
        _ask(url, queries, 16, requests=LATE - EARLY, mixed=1)
        late = _resident(process)
    row = {
        f"after {EARLY:,}, MiB": f"{early:.0f}",
        f"after {LATE:,}, MiB": f"{late:.0f}",
        "ratio (at most 1.1)": f"{late / early:.3f}",
    }
    report(
        "serving_memory",
        "Memory of a server under mixed requests",
        [row],
        notes=["Searches, searches by image, thumbnails, files and measured by turns."],
    )


def _resident(process: int) -> float:
    """MiB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
