"""Show where each core-second of an index run goes, in a table that adds up to the wall time.

usage: python benchmarks/profile_indexing.py PHOTOS... [--images 10000] [--model NAME]

Each stage is timed by its own thread's processor time, so waiting counts nowhere; what the cores
did not do is the rest of cores x wall time.
"""

import argparse
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from indexer import build, load_encoder
from indexer.devices.cpu_count import available_cores
from indexer.images.preprocess import Preprocess
from indexer.load import BUILT_IN
from indexer.scan import diff
from indexer.store.catalog import Catalog
from indexer.store.lookup import Lookup
from measure import report


class Stages:
    """Processor seconds by stage; those of a stage inside another do not count for the outer."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()
        self._own = threading.local()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """The statements inside belong to `name`."""
        inner = getattr(self._own, "inner", 0.0)
        self._own.inner = 0.0
        began = time.thread_time()
        try:
            yield
        finally:
            spent = time.thread_time() - began
            with self._lock:
                self.seconds[name] = self.seconds.get(name, 0.0) + spent - self._own.inner
            self._own.inner = inner + spent

    def wrap(self, owner: Any, name: str, stage: str) -> None:
        """Time every call of a function or method, in its place."""
        original: Callable[..., Any] = getattr(owner, name)

        def timed(*args: Any, **options: Any) -> Any:
            with self.stage(stage):
                return original(*args, **options)

        setattr(owner, name, timed)

    def wrap_iterator(self, owner: Any, name: str, stage: str) -> None:
        """Time a generator: what it does between its results."""
        original = getattr(owner, name)

        def timed(*args: Any, **options: Any) -> Iterator[Any]:
            made = original(*args, **options)
            while True:
                with self.stage(stage):
                    item = next(made, timed)
                if item is timed:
                    return
                yield item

        setattr(owner, name, timed)

    def wrap_context(self, owner: Any, name: str, stage: str) -> None:
        """Time a context manager, with the statements inside it."""
        original = getattr(owner, name)

        @contextmanager
        def timed(*args: Any, **options: Any) -> Iterator[Any]:
            with self.stage(stage), original(*args, **options) as value:
                yield value

        setattr(owner, name, timed)


def instrument(stages: Stages, encoder: Any) -> None:
    """Put a clock around each stage."""
    stages.wrap_iterator(diff, "look", "scan")
    stages.wrap(diff, "plan", "scan")
    stages.wrap(Lookup, "indexed", "look up")
    stages.wrap(stages, "read_file", "read")
    stages.wrap(stages, "digest", "hash")
    stages.wrap(stages, "decode", "decode")
    stages.wrap(Preprocess, "pixels", "resize")
    stages.wrap(stages, "gray_thumbnail", "gray thumbnail")
    stages.wrap(encoder, "encode_images", "forward")
    stages.wrap_context(Catalog, "transaction", "commit")
    stages.wrap(build, "publish", "publish")


def copy(sources: list[Path], folder: Path, count: int) -> int:
    """Copy the first `count` files below `sources` that look like photos."""
    found = (file for source in sources for file in sorted(source.rglob("*.jp*g")))
    folder.mkdir()
    number = 0
    for number, file in enumerate(islice(found, count), start=1):
        shutil.copy(file, folder / f"{number:06}{file.suffix}")
    return number


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--model", default=BUILT_IN)
    asked = parser.parse_args()
    cores, stages = available_cores(), Stages()
    with tempfile.TemporaryDirectory() as scratch:
        count = copy(asked.photos, Path(scratch) / "photos", asked.images)
        encoder = load_encoder(asked.model, threads=cores)
        instrument(stages, encoder)
        busy, began, own = time.process_time(), time.perf_counter(), time.thread_time()
        build([Path(scratch) / "photos"], collection=Path(scratch) / "c", encoder=encoder)
        wall = time.perf_counter() - began
        busy = time.process_time() - busy
        own = time.thread_time() - own
    spent = dict(stages.seconds)
    spent["queues and files' metadata (the main thread's rest)"] = own - sum(
        spent.get(name, 0.0) for name in ("scan", "commit", "publish")
    )
    measured = sum(spent.values())
    spent["interpreter, threads (the process's rest)"] = busy - measured
    spent["idle, or taken by other processes"] = cores * wall - busy
    rows = [
        {
            "stage": stage,
            "core-seconds": f"{seconds:.2f}",
            "ms a photo": f"{1000 * seconds / count:.3f}",
            "share of cores x wall, %": f"{100 * seconds / (cores * wall):.1f}",
        }
        for stage, seconds in spent.items()
    ]
    rows.append(
        {
            "stage": f"together, against {cores} cores x {wall:.1f} s",
            "core-seconds": f"{sum(spent.values()):.2f}",
            "ms a photo": f"{1000 * sum(spent.values()) / count:.3f}",
            "share of cores x wall, %": f"{100 * sum(spent.values()) / (cores * wall):.1f}",
        }
    )
    covered = 100 * (measured + cores * wall - busy) / (cores * wall)
    report(
        "profile_indexing",
        f"{count:,} photos indexed with {asked.model}, {count / wall:.1f} images/s: where each "
        f"core-second went (stages measured one by one, and idle, cover {covered:.1f} %)",
        rows,
        wall=wall,
        covered=covered,
    )


if __name__ == "__main__":
    main()
