"""End commands at any moment, and fill the disk under them; nothing may be lost.

usage: python -m scripts.torture.runs [--rounds 25] [--seed 18]

Each command is killed, interrupted once or twice, or runs out of disk, at a moment or size that is
drawn. Afterwards `search` must answer as before, `index` must complete the collection, and nothing
outside it may have changed. A traceback, an exit code that no caller expects, an answer that is not
the old one or the new one, and a hang are faults: exit code 1. Full disks are tmpfs mounts, which
need root.
"""

import random
import shutil
import sys
import tempfile
from pathlib import Path

from .command import ENDS, answer, clipdex, ended, wrong
from .disks import CAN_MOUNT, mount, small_disk
from .photos import make_photos
from .report import Report, rounds_and_seed

IMAGES = 60
LONGEST = 3.0
KIB = range(64, 6000)


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


def checked(photos: Path, collection: Path, before: set[bytes], begun: bool) -> str | None:
    """Return what is wrong with a collection after a command was ended; None for nothing.

    Args:
        photos: What was indexed.
        collection: The collection.
        before: The bytes of the photos.
        begun: Whether it held something before the command, so that it is never empty.
    """
    found = answer(collection)
    every = sorted(str(path) for path in photos.rglob("*.jpg"))
    empty = any(word in found for word in ("nothing was indexed", "is empty"))
    if isinstance(found, str) and (begun or not empty):
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
    options = rounds_and_seed(25)
    draw = random.Random(options.seed)
    report = Report()
    with tempfile.TemporaryDirectory() as made:
        photos = Path(made) / "photos"
        make_photos(photos, IMAGES)
        before = {path.read_bytes() for path in photos.rglob("*.jpg")}
        whole = Path(made) / "whole"
        clipdex("index", photos, "--collection", whole)
        for number in range(options.rounds):
            collection = Path(made) / f"collection {number}"
            name, arguments = draw.choice(list(commands(photos, collection).items()))
            begun = draw.random() < 0.7
            if begun:
                shutil.copytree(whole, collection)
            if CAN_MOUNT and draw.random() < 0.5:
                kib = draw.choice(KIB)
                with small_disk(kib) as disk:
                    place = disk / "collection"
                    arguments = commands(photos, place)[name]
                    if begun:
                        try:
                            shutil.copytree(whole, place)
                        except (shutil.Error, OSError):
                            continue  # too small for what is there
                    how, where = "full disk", f"round {number}, {kib} KiB"
                    fault = wrong(clipdex(*arguments, TMPDIR=str(disk)))
                    mount("-o", "remount,size=1g", disk)
                    fault = fault or checked(photos, place, before, begun)
            else:
                how, where = draw.choice(ENDS), f"round {number}"
                fault = ended(arguments, how, draw, LONGEST)
                fault = fault or checked(photos, collection, before, begun)
            shutil.rmtree(collection, ignore_errors=True)
            report.note(f"{name}, {how}", where, [fault])
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
