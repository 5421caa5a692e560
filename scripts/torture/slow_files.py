"""Put photos, or the collection, on a disk that is slow, fails at times and stalls for seconds.

usage: python -m scripts.torture.slow_files [--rounds 25] [--seed 18]

Needs FUSE: `faulty_mount.py` says how to get it. Commands run on the failing disk; each must end
with files that failed or with an error of one line. Once the disk is well, `search` must answer
what it answered before, photos and labels must all be there, and `index` must complete the
collection by itself. A traceback, a hang, and whatever is lost are faults: exit code 1.
"""

import json
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .command import answer, clipdex, wrong
from .faulty_mount import Faults, missing, mounted
from .photos import make_image, make_photos
from .report import Report, rounds_and_seed, say

IMAGES = 24
LABEL = "pear"
# Most calls have to succeed, or nothing but the first error would ever be seen.
FAIL = (0.0, 0.002, 0.01, 0.05, 0.3)
STALL = (0.0, 0.001, 0.01)


def commands(photos: Path, collection: Path) -> dict[str, tuple[object, ...]]:
    """Return commands, by name."""
    image = photos / "first" / "1.jpg"
    return {
        "index": ("index", photos),
        "index --prune": ("index", photos, "--prune"),
        "index --rehash": ("index", photos, "--rehash"),
        "search": ("search", "a red thing", "--json"),
        "search --image": ("search", "--image", image, "--json"),
        "similar": ("similar", image, "--json"),
        "label": ("label", photos, "--labels", "red,green", "--json"),
        "duplicates": ("duplicates", "--json"),
        "status": ("status", "--json"),
        "train": ("adapt", "train", "colours", photos),
        "tags add": ("tags", "add", "apple", photos / "first"),
    }


def labelled(collection: Path) -> int | str:
    """Return how many images have the label, or what is wrong."""
    done = clipdex("tags", "list", "--json", "--collection", collection)
    if fault := wrong(done, {0}):
        return fault
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return sum(int(row["images"]) for row in rows if row["label"] == LABEL)


def kept(collection: Path, expected: Sequence[str]) -> str | None:
    """Return what is wrong with what is left of a collection that was whole; None for nothing."""
    found = answer(collection)
    if found != list(expected):
        return f"search finds {found if isinstance(found, str) else len(found)}"
    if (count := labelled(collection)) != IMAGES // 2:
        return f"labels of {count} images"
    return None


def completed(photos: Path, collection: Path, every: Sequence[str]) -> str | None:
    """Return what is wrong after the next run; None for nothing."""
    done = clipdex("index", photos, "--json", "--collection", collection)
    if fault := wrong(done, {0}):
        return f"index: {fault}"
    if answer(collection) != list(every):
        return "index did not complete the collection"
    done = clipdex("index", photos, "--json", "--rehash", "--collection", collection)
    report = json.loads(done.stdout.splitlines()[-1])
    if report["unchanged"] != len(every):
        return f"a changed file was not read: {report}"
    return None


def main() -> int:
    """Run the command."""
    options = rounds_and_seed(25)
    if why := missing():
        say(f"not run: {why}")
        return 0
    draw = random.Random(options.seed)
    report = Report()
    with tempfile.TemporaryDirectory() as made:
        source, store = Path(made) / "source", Path(made) / "store"
        photos, collection = Path(made) / "photos", Path(made) / "collection"
        pristine, whole = Path(made) / "pristine", Path(made) / "whole"
        make_photos(pristine, IMAGES)
        for folder in (photos, collection):
            folder.mkdir()
        shutil.copytree(pristine, source)
        every = sorted(str(photos / path.relative_to(source)) for path in source.rglob("*.jpg"))
        with mounted(source, photos, Faults()):
            clipdex("index", photos, "--collection", whole)
            clipdex("tags", "add", LABEL, photos / "first", "--collection", whole)
        for number in range(options.rounds):
            for folder in (source, store):
                shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(pristine, source)
            begun = draw.random() < 0.7
            shutil.copytree(whole, store) if begun else store.mkdir()
            of_photos = draw.random() < 0.5
            change = of_photos and draw.random() < 0.3
            faults = Faults(draw.choice((0, 0.05)), draw.choice(FAIL), draw.choice(STALL))
            below, beside = (faults, Faults()) if of_photos else (Faults(), faults)
            if change:
                make_image(source / "first" / "1.jpg", 1000 + number)
            before = {path: path.read_bytes() for path in source.rglob("*.jpg")}
            seed = draw.randrange(2**32)
            side = "photos" if of_photos else "collection"
            name = draw.choice(list(commands(photos, collection)))
            arguments = commands(photos, collection)[name]
            with mounted(source, photos, below, seed), mounted(store, collection, beside, seed):
                fault = wrong(clipdex(*arguments, "--collection", collection))
            with mounted(source, photos, Faults()), mounted(store, collection, Faults()):
                # A changed file that could not be read is not what it was.
                if begun and not change:
                    fault = fault or kept(collection, every)
                fault = fault or completed(photos, collection, every)
            if {path: path.read_bytes() for path in source.rglob("*.jpg")} != before:
                fault = fault or "photos have changed"
            report.note(f"{name}, failing {side}", f"round {number}, {faults}", [fault])
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
