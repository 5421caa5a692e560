"""End commands at any moment, and fill the disk under them; nothing may be lost.

usage: python -m scripts.torture.runs [--rounds 25] [--seed 18]

Each command is killed, interrupted once or twice, or runs out of disk, at a moment or size that is
drawn. Afterwards `search` must answer as before, `index` must complete the collection, and nothing
outside it may have changed. A traceback, an exit code that no caller expects, an answer that is not
the old one or the new one, and a hang are faults: exit code 1. Full disks are tmpfs mounts, which
need root.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .report import say
from .server import make_image

COMMAND = Path(sys.executable).parent / "clipdex"
IMAGES = 60
LONGEST = 3.0
KIB = range(64, 6000)
ENDS = ("kill", "interrupt", "interrupt twice", "terminate")


def clipdex(*arguments: object, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command."""
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        capture_output=True,
        timeout=300,
        env={**os.environ, **environment},
    )


def commands(photos: Path, collection: Path) -> dict[str, tuple[object, ...]]:
    """Return commands that write, by name."""
    head = ("adapt", "train", "colours", photos, "--collection", collection)
    return {
        "index": ("index", photos, "--collection", collection, "--batch-size", 8),
        "prune": ("index", photos, "--prune", "--collection", collection),
        "tags add": ("tags", "add", "pear", photos, "--collection", collection),
        "train": head,
        "migrate": ("migrate", "--collection", collection),
        "forget": ("forget", photos / "first", "--collection", collection),
    }


def ended(arguments: tuple[object, ...], how: str, draw: random.Random) -> str | None:
    """Run a command and end it; return what was wrong about how it ended, None for nothing."""
    process = subprocess.Popen(
        [COMMAND, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    # The interpreter itself needs this long before it looks at signals.
    time.sleep(draw.uniform(0.1, LONGEST))
    sent = {"kill": signal.SIGKILL, "terminate": signal.SIGTERM}.get(how, signal.SIGINT)
    process.send_signal(sent)
    if how == "interrupt twice":
        time.sleep(draw.uniform(0, 0.2))
        process.send_signal(sent)
    try:
        _, said = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return "it hung"
    expected = {0, 1, 2, 3, -9 if how == "kill" else 128 + sent}
    if process.returncode not in expected or b"Traceback" in said:
        return f"exit code {process.returncode}: {said[-300:]!r}"
    return None


@contextmanager
def small_disk(kib: int) -> Iterator[Path]:
    """A folder on a disk of this size."""
    folder = Path(tempfile.mkdtemp())
    options = f"size={kib}k"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        folder.rmdir()


def answer(collection: Path) -> list[str] | str:
    """Return the files that a search finds, or the error."""
    done = clipdex("search", "a red thing", "-k", 1000, "--json", "--collection", collection)
    if b"Traceback" in done.stderr or done.returncode not in (0, 1):
        return f"exit code {done.returncode}: {done.stderr[-300:]!r}"
    if done.returncode == 1:
        return done.stderr.decode().strip()
    return sorted(json.loads(line)["path"] for line in done.stdout.splitlines())


def checked(photos: Path, collection: Path, before: set[bytes]) -> str | None:
    """Return what is wrong with a collection after a command was ended; None for nothing."""
    found = answer(collection)
    every = sorted(str(path) for path in photos.rglob("*.jpg"))
    if isinstance(found, str) and "nothing was indexed" not in found:
        return f"search: {found}"
    if not isinstance(found, str) and not set(found) <= set(every):
        return "search finds other files"
    # What was forgotten comes back where it is named.
    done = clipdex("index", photos, photos / "first", "--collection", collection)
    if done.returncode:
        return f"index: exit code {done.returncode}: {done.stderr[-300:]!r}"
    if answer(collection) != every:
        return "index did not complete the collection"
    after = {path.read_bytes() for path in photos.rglob("*.jpg")}
    return None if after == before else "photos have changed"


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--seed", type=int, default=18)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    outcomes: Counter[str] = Counter()
    faults = []
    with tempfile.TemporaryDirectory() as made:
        photos = Path(made) / "photos"
        for number in range(IMAGES):
            folder = photos / ("first" if number % 2 else "second")
            folder.mkdir(parents=True, exist_ok=True)
            make_image(folder / f"{number}.jpg", number)
        before = {path.read_bytes() for path in photos.rglob("*.jpg")}
        whole = Path(made) / "whole"
        clipdex("index", photos, "--collection", whole)
        full = os.geteuid() == 0
        for number in range(options.rounds):
            collection = Path(made) / f"collection {number}"
            name, arguments = draw.choice(list(commands(photos, collection).items()))
            begun = draw.random() < 0.7
            if begun:
                shutil.copytree(whole, collection)
            if full and draw.random() < 0.5:
                kib = draw.choice(KIB)
                with small_disk(kib) as disk:
                    place = disk / "collection"
                    arguments = commands(photos, place)[name]
                    if begun:
                        try:
                            shutil.copytree(whole, place)
                        except (shutil.Error, OSError):
                            continue  # too small for what is there
                    done = clipdex(*arguments, TMPDIR=str(disk))
                    how, wrong = f"disk of {kib} KiB", None
                    if done.returncode not in (0, 1, 2, 3) or b"Traceback" in done.stderr:
                        wrong = f"exit code {done.returncode}: {done.stderr[-300:]!r}"
                    subprocess.run(["mount", "-o", "remount,size=1g", disk], check=True)
                    wrong = wrong or checked(photos, place, before)
            else:
                how = draw.choice(ENDS)
                wrong = ended(arguments, how, draw) or checked(photos, collection, before)
            shutil.rmtree(collection, ignore_errors=True)
            outcomes[f"{name}, {how.split(' of ')[0]}: {'fault' if wrong else 'well'}"] += 1
            if wrong:
                faults.append(f"round {number}: {name}, {how}: {wrong}")
    for outcome, count in sorted(outcomes.items()):
        say(f"{count:5}  {outcome}")
    for fault in faults:
        say(f"FAULT: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
