"""What decoding an image costs in threads of one process, and in a DataLoader's processes.

usage: python benchmarks/feeding.py [--photos 400] [--workers 2] [--rounds 5]

The same photos are read, hashed, decoded and brought to the model's pixels, without a model, by
threads (as for the CPU) and by a DataLoader (as for a GPU), in turns. Starting the processes, which
import torch, is not counted; processor time is that of all processes.
"""

import argparse
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from indexer.bundles.bundle import Bundle
from indexer.encoders.gpu.feeding import PREFETCH, Files, collate
from indexer.images.decode import Limits
from indexer.model_name import BUILT_IN_FOLDER
from indexer.pipeline.embed_files import task_of
from indexer.pipeline.read import Reading
from indexer.pipeline.stages import nothing_known
from indexer.store.rows import Task
from measure import report, spread
from photos import make_photos

SIZES = {"300 pixels": (300, 225), "12 megapixels": (4000, 3000)}
CHUNK = 16


def by_threads(reading: Reading, tasks: list[Task], workers: int) -> float:
    """Return the seconds that threads take for all tasks."""
    with ThreadPoolExecutor(workers) as pool:
        began = time.perf_counter()
        for _ in pool.map(reading, tasks):
            pass
        return time.perf_counter() - began


def by_processes(reading: Reading, tasks: list[Task], workers: int) -> float:
    """Return the seconds that a DataLoader takes for all tasks but its first chunks."""
    from torch.utils.data import DataLoader

    chunks = [tasks[at : at + CHUNK] for at in range(0, len(tasks), CHUNK)]
    warm = [tasks[:CHUNK]] * (workers * PREFETCH)
    loader = DataLoader(
        Files(reading), batch_sampler=[*warm, *chunks], num_workers=workers,
        prefetch_factor=PREFETCH, collate_fn=collate, multiprocessing_context="spawn",
    )  # fmt: skip
    began = 0.0
    for number, _ in enumerate(loader, start=1):
        if number == len(warm):
            began = time.perf_counter()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=int, default=400)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    reading = Reading(Bundle.load(BUILT_IN_FOLDER).image, Limits(), nothing_known)
    ways: dict[str, Callable[[Reading, list[Task], int], float]] = {
        "threads": by_threads,
        "DataLoader": by_processes,
    }
    rows = []
    for title, size in SIZES.items():
        with tempfile.TemporaryDirectory() as scratch:
            count = given.photos if size[0] < 1000 else max(CHUNK, given.photos // 5)
            folder = make_photos(Path(scratch), count, size)
            tasks = [task_of(os.fsencode(file)) for file in sorted(folder.iterdir())]
            found: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(given.rounds):
                for name, way in ways.items():
                    seconds = way(reading, tasks, given.workers)
                    found[name].append(1000 * seconds * given.workers / count)
            ratios = [b / a for a, b in zip(*found.values(), strict=True)]
            rows.append(
                {
                    "photos": f"{count} of {title}",
                    **{
                        f"{name}, core-ms an image": spread(values)
                        for name, values in found.items()
                    },
                    "DataLoader / threads": f"{statistics.median(ratios):.2f}",
                }
            )
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    report(
        "feeding",
        "Decoding in threads and in a DataLoader's processes",
        rows,
        notes=[f"{given.workers} workers, {given.rounds} rounds in turns; the largest decoding "
               f"process took {peak} MiB"],
    )  # fmt: skip


if __name__ == "__main__":
    main()
