"""Indexing speed of each tool, against the machine's own limit for this model."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from indexer import load_encoder
from indexer.devices.cpu_count import available_cores
from indexing import best_batch_size, forward_seconds, limit_of, pixels_of, stage_seconds
from peers.processes import run
from peers.rounds import no_values, turns
from peers.table import Row
from peers.tools import Tool


def measure_indexing(
    tools: Sequence[Tool],
    title: str,
    photos: Path,
    *,
    bundle: Path,
    rounds: int,
    scratch: Path,
) -> list[Row]:
    """Images a second, each round's share of that round's limit, and start-up.

    A tool's start-up is the wall time of indexing one image. The rate leaves it out: images
    after the first, by each round's wall time less the median start-up, since one start-up of a
    tool that imports much varies by more than some images take.
    """
    files = sorted(photos.iterdir())
    one = scratch / "one"
    shutil.rmtree(one, ignore_errors=True)
    one.mkdir()
    shutil.copy(files[0], one)
    encoder = load_encoder(str(bundle), threads=available_cores())
    pixels = pixels_of(files[0], encoder)
    size = best_batch_size(encoder, pixels)
    whole, start = no_values(tools), no_values(tools)
    limits = []
    for tool in tools:  # whatever is read from disk is then in the system's cache
        _index(tool, one, scratch)
    for number in range(rounds):
        stages = stage_seconds(files[:20], encoder)
        before = forward_seconds(encoder, pixels, size)
        for tool in turns(tools, number):
            start[tool.name].append(_index(tool, one, scratch))
            whole[tool.name].append(_index(tool, photos, scratch))
        forward = (before + forward_seconds(encoder, pixels, size)) / 2
        limits.append(limit_of(stages, forward, available_cores()))
    rate = {
        name: [(len(files) - 1) / (seconds - median(start[name])) for seconds in walls]
        for name, walls in whole.items()
    }
    share = {
        name: [100 * one / limit for one, limit in zip(rates, limits, strict=True)]
        for name, rates in rate.items()
    }
    return [
        Row(f"indexing {len(files)} of {title}, images/s", rate, asked="≥ 1 of each"),
        Row(
            "… in % of the machine's limit",
            share,
            asked="≥ 90 %",
            ratios=False,
            further={"limit, images/s:": limits},
        ),
        Row(f"… the whole process, {len(files)} of {title}, s", whole),
        Row(f"… the whole process, one of {title}, s", start),
    ]


def _index(tool: Tool, photos: Path, scratch: Path) -> float:
    """Wall seconds of a new store."""
    store = scratch / "store"
    shutil.rmtree(store, ignore_errors=True)
    return run(tool.index(photos, store)).seconds
