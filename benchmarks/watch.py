"""How soon `clipdex watch` has caught up with 1,000 photos that are copied in, moved and deleted.

usage: python benchmarks/watch.py PHOTOS [--count 1000] [--rounds 3]
    PHOTOS: a folder of at least so many photos

Seconds are those from the last file operation until the catalog holds what the folder does.
"""

import argparse
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from measure import COMMAND, report
from search.status import image_count


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    files = sorted(asked.photos.rglob("*.jpg"))[: asked.count]
    rounds = [one_round(files) for _ in range(asked.rounds)]
    row = {
        name: f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"
        for name, values in {what: [one[what] for one in rounds] for what in rounds[0]}.items()
    }
    notes = [f"{len(files)} photos; medians of {asked.rounds} rounds."]
    report("watch", "Seconds until `clipdex watch` has caught up", [row], notes=notes)


def one_round(files: list[Path]) -> dict[str, float]:
    """Seconds that copying took, and from the end of each step until it was caught up with."""
    with tempfile.TemporaryDirectory() as scratch:
        home, collection = Path(scratch) / "home", Path(scratch) / "collection"
        (home / "first").mkdir(parents=True)
        shutil.copy(files[0], home / "here.jpg")
        watching = subprocess.Popen(
            [COMMAND, "watch", home, "--collection", collection],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until(lambda: image_count(collection) == 1)
            began = time.monotonic()
            for number, file in enumerate(files[1:]):
                shutil.copy(file, home / "first" / f"{number}.jpg")
            copied = time.monotonic() - began
            found = {"copying": copied, "copied in": until(lambda: holds(collection, len(files)))}
            (home / "first").rename(home / "second")
            found["moved"] = until(lambda: not paths(collection, home / "first"))
            shutil.rmtree(home / "second")
            found["deleted"] = until(lambda: holds(collection, 1))
            return found
        finally:
            watching.kill()
            watching.wait()


def holds(collection: Path, count: int) -> bool:
    return image_count(collection) == count


def paths(collection: Path, folder: Path) -> bool:
    """Whether a search finds files in a folder."""
    done = subprocess.run(
        [COMMAND, "search", "a photo", "-k", "5000", "--paths", "--collection", collection],
        capture_output=True,
        check=True,
    )
    return bytes(folder) in done.stdout


def until(holds: Callable[[], bool]) -> float:
    """Seconds until something holds."""
    began = time.monotonic()
    while not holds():
        time.sleep(0.05)
        if time.monotonic() - began > 600:
            raise TimeoutError
    return time.monotonic() - began


if __name__ == "__main__":
    main()
