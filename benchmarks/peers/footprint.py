"""Measure the peak memory of each tool, while indexing and searching, and its bytes on disk."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from peers.processes import run
from peers.queries import TEXT
from peers.rounds import Values, no_values, turns
from peers.stores import Stores
from peers.table import Row
from peers.tools import Tool, stored_bytes
from peers.weights import Weights

LOWEST = "≤ 1 of each"


def measure_memory(
    tools: Sequence[Tool],
    photos: Path,
    counts: Sequence[int],
    stores: Stores,
    *,
    rounds: int,
    scratch: Path,
) -> list[Row]:
    """MiB, by runs of their own, which nothing times."""
    peaks = no_values(tools)
    for number in range(rounds):
        for tool in turns(tools, number):
            store = scratch / "store"
            shutil.rmtree(store, ignore_errors=True)
            peaks[tool.name].append(run(tool.index(photos, store), watched=True).peak)
    count = len(list(photos.iterdir()))
    rows = [Row(f"peak memory, indexing {count} of 12 megapixels, MiB", peaks, asked=LOWEST)]
    for count in counts:
        peaks = no_values(tools)
        kept = {tool.name: stores.of(tool, count) for tool in tools}
        for number in range(rounds):
            for tool in turns(tools, number):
                command = tool.search(kept[tool.name], stores.root, TEXT)
                peaks[tool.name].append(run(command, watched=True).peak)
        rows.append(Row(f"peak memory, cold query, {count:,} images, MiB", peaks, asked=LOWEST))
    return rows


def measure_disk(
    tools: Sequence[Tool], counts: Sequence[int], stores: Stores, weights: Weights
) -> list[Row]:
    """MiB of each store, and of the weights."""
    rows = []
    for count in counts:
        sizes: Values = {
            tool.name: [stored_bytes(stores.of(tool, count)) / 2**20] for tool in tools
        }
        rows.append(Row(f"store on disk, {count:,} images, MiB", sizes))
    given = {
        "clipdex": weights.bundle,
        "rclip": weights.rclip,
        "clip-retrieval": weights.checkpoint,
    }
    sizes = {tool.name: [_size(given[tool.name].resolve()) / 2**20] for tool in tools}
    return [*rows, Row("weights on disk, MiB", sizes)]


def _size(part: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return stored_bytes(part) if part.is_dir() else part.stat().st_size
