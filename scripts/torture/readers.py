"""Read a collection that one may not write, while its owner indexes, is killed and goes on.

usage: python -m scripts.torture.readers [--rounds 16] [--seed 18]

Another user, a read-only mount and a disk that has become read-only are the readers' places. Each
answer must be a state that the owner has committed, and the newest once the owner is done, or one
line that says why there is none; a reader leaves nothing behind in the collection, nor in the
temporary folder. A traceback, a hang, an older state and a file of a reader's are faults: exit code
1. It needs root, and `setpriv`.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .command import COMMAND, clipdex, wrong
from .disks import CAN_MOUNT, mount, read_only, small_disk
from .photos import make_image
from .report import Report, rounds_and_seed, say
from .serving import served

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
STEP = 8
DISK_KIB = 200_000
# So long a server may show an older state.
FOLLOWS = 30
PLACES = ("mode 755", "mode 555", "mode 500 of the reader", "mode 500", "mount", "disk")
# Keeps the log from being emptied as the owner ends.
HELD = "PRAGMA query_only = ON; BEGIN; SELECT count(*) FROM files"


@dataclass
class Reader:
    """Who reads, and where.

    Attributes:
        collection: Where the collection is for them.
        prefix: Of their commands.
        environment: Theirs.
        shut_out: Whether they may not even read it.
    """

    collection: Path
    prefix: Sequence[str] = ()
    environment: dict[str, str] = field(default_factory=dict)
    shut_out: bool = False

    def run(self, *arguments: object) -> tuple[subprocess.CompletedProcess[bytes], str | None]:
        """Run a command; return what came of it, and what was wrong."""
        done = clipdex(*arguments, "--json", "--collection", self.collection, prefix=self.prefix,
                       **self.environment)  # fmt: skip
        # Typer itself refuses a folder that may not be read.
        return done, wrong(done, {0, 2} if self.shut_out else {0, 1})


@contextmanager
def reading(place: str, collection: Path, folder: Path) -> Iterator[Reader]:
    """Someone who may not write a collection: one of `PLACES`."""
    home = {"HOME": str(folder / "home"), "CLIPDEX_CACHE": str(folder / "home" / "cache")}
    if place == "mount":
        with read_only(collection, folder / "mount") as at:
            yield Reader(at, environment=home)
    elif place == "disk":
        yield Reader(collection, environment=home)
    else:
        collection.chmod(int(place.split()[1], 8))
        if place.endswith("reader"):
            os.chown(collection, 65534, 65534)
        yield Reader(collection, NOBODY, home, shut_out=place == "mode 500")


def add_photos(photos: Path, count: int, draw: random.Random) -> None:
    """Add some, of random noise."""
    first = len(list(photos.iterdir()))
    for number in range(first, first + count):
        make_image(photos / f"{number}.jpg", draw.randrange(2**32))


def index(photos: Path, collection: Path) -> subprocess.Popen[bytes]:
    """Begin to index as the owner."""
    place = ("--collection", str(collection))
    command = [str(COMMAND), "index", str(photos), "--batch-size", "2", *place]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def questions(photos: Path) -> dict[str, tuple[object, ...]]:
    """Return what readers ask, by name; all answer with one line an image but `status`."""
    return {
        "status": ("status",),
        "search": ("search", "a red thing", "-k", 1000),
        "similar": ("similar", photos / "0.jpg", "-k", 1000),
        "label": ("label", "--labels", "red,green"),
        "duplicates": ("duplicates",),
    }


def count(name: str, done: subprocess.CompletedProcess[bytes]) -> int | None:
    """Return how many images an answer speaks of; None where it says why it is none."""
    if done.returncode:
        return None
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    if name == "status":
        return int(rows[0]["images"])
    return len(rows) + (name == "similar")  # which leaves the image itself out


def ask(
    reader: Reader, photos: Path, name: str, least: int, most: int, newest: bool
) -> list[str | None]:
    """Ask something; return the faults.

    Args:
        reader: Who asks.
        photos: The owner's photos.
        name: Of the question.
        least: How many images there were before.
        most: How many there can be by now.
        newest: Whether the collection does not change now, so that there must be an answer.
    """
    done, fault = reader.run(*questions(photos)[name])
    if fault:
        return [f"{name}: {fault}"]
    found = count(name, done)
    if found is None:
        said = done.stderr.decode()
        lines = [line for line in said.splitlines() if line.lower().startswith("error: ")]
        bad = (newest and not reader.shut_out) or len(lines) != 1
        return [f"{name} is refused: {said}"] if bad else []
    if reader.shut_out:
        return [f"{name} reads what is not for it"]
    if name != "duplicates" and not least <= found <= most:
        return [f"{name} speaks of {found} images, not of {least} to {most}"]
    return []


def total(collection: Path) -> int:
    """Return how many images the owner sees, in a copy, so that nothing changes."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(collection, copy)
        found = count("status", clipdex("status", "--json", "--collection", copy))
    return found or 0


def killed(photos: Path, collection: Path, draw: random.Random) -> None:
    """Index as the owner and be killed, so that a log is left."""
    import sqlite3

    with closing(sqlite3.connect(collection / "catalogue.sqlite3", isolation_level=None)) as held:
        for statement in HELD.split("; "):
            held.execute(statement).fetchall()
        process = index(photos, collection)
        time.sleep(draw.uniform(1.0, 4.0))
        process.kill()
        process.wait()
        # A connection that is closed in order empties the log; this one is killed as well.
        names = ("catalogue.sqlite3", "catalogue.sqlite3-wal", "catalogue.sqlite3-shm")
        kept = {name: (collection / name).read_bytes() for name in names}
    for name, data in kept.items():
        (collection / name).write_bytes(data)
    if draw.random() < 0.4:
        (collection / "catalogue.sqlite3-shm").unlink()


def follows(reader: Reader, photos: Path, collection: Path, draw: random.Random) -> list[str]:
    """Serve as the reader while the owner indexes; return the faults."""
    place = reader.collection
    with served(place, prefix=reader.prefix, **reader.environment) as server:
        for _ in range(2):
            add_photos(photos, STEP, draw)
            process = index(photos, collection)
            while process.poll() is None:
                server.ask("GET", "/v1/search?q=red")
            end, found = time.monotonic() + FOLLOWS, None
            while found != len(list(photos.iterdir())) and time.monotonic() < end:
                answered = server.ask("GET", "/v1/search?q=red")
                found = answered.json().get("total") if answered is not None else None
                time.sleep(0.2)
            if time.monotonic() >= end:
                server.faults.append(f"it shows {found} images")
    return server.faults


def round_of(place: str, folder: Path, collection: Path, draw: random.Random) -> list[str | None]:
    """Read a collection at one of `PLACES` as it changes; return the faults."""
    photos = folder / "photos"
    photos.mkdir()
    folder.chmod(0o755)
    (folder / "home").mkdir()
    (folder / "home").chmod(0o777)
    add_photos(photos, STEP, draw)
    index(photos, collection).wait()
    faults: list[str | None] = []
    with reading(place, collection, folder) as reader:
        names = list(questions(photos))
        if place != "disk":
            add_photos(photos, STEP, draw)
            process = index(photos, collection)
            while process.poll() is None:
                faults += ask(reader, photos, draw.choice(names), STEP, 2 * STEP, newest=False)
            for name in names:
                faults += ask(reader, photos, name, 2 * STEP, 2 * STEP, newest=True)
        add_photos(photos, STEP, draw)
        killed(photos, collection, draw)
        now = total(collection)
        before = {path.name for path in collection.iterdir()}
        if place == "disk":
            mount("-o", "remount,ro", collection.parent)
        for name in draw.sample(names, len(names)):
            faults += ask(reader, photos, name, now, now, newest=True)
        if place in ("mode 755", "mount", "disk") and (
            left := {path.name for path in collection.iterdir()} - before
        ):
            faults.append(f"a reader left {left} in the collection")
        if place == "disk":
            done = clipdex("index", photos, "--collection", collection)
            faults.append(wrong(done, {1}))
            mount("-o", "remount,rw", collection.parent)
        elif not reader.shut_out:
            faults += follows(reader, photos, collection, draw)
    if fault := wrong(clipdex("index", photos, "--collection", collection), {0}):
        faults.append(f"index by the owner: {fault}")
    if total(collection) != len(list(photos.iterdir())):
        faults.append("the collection is not complete")
    return faults


def main() -> int:
    """Run the command."""
    options = rounds_and_seed(16)
    if not CAN_MOUNT or shutil.which("setpriv") is None:
        say("not run: only root can read as somebody else, with setpriv")
        return 0
    draw = random.Random(options.seed)
    report = Report()
    for number in range(options.rounds):
        place = PLACES[number % len(PLACES)]
        with (
            tempfile.TemporaryDirectory(prefix="readers-") as made,
            small_disk(DISK_KIB) as disk,
            tempfile.TemporaryDirectory(prefix="readers-") as temporary,
        ):
            os.chmod(temporary, 0o777)
            os.chmod(disk, 0o755)
            os.environ["TMPDIR"] = temporary
            faults = round_of(place, Path(made), disk / "collection", draw)
            del os.environ["TMPDIR"]
            if left := list(Path(temporary).glob("clipdex-*/catalogue.sqlite3")):
                faults.append(f"a reader left {left}")
        report.note(f"a reader, {place}", f"round {number}", faults)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
