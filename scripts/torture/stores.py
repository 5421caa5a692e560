"""Damage each file of a collection in many ways, and count what the commands make of it.

usage: python -m scripts.torture.stores [--seed 18] [--rounds 1]

A command may give the answer that it gave before, say that something was wrong and repair or leave
it, or refuse in one line. Another answer without a word, and a traceback, are faults: exit code 1.
SQLite keeps no checksums of rows, so bits of the catalog are flipped where its pages begin.
"""

import argparse
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image

from .command import COMMAND
from .report import say

CATALOG = "catalogue.sqlite3"
PAGE = 4096
IMAGES = 24
COMMANDS = {
    "index": ("--json",),
    "search": ("a", "red", "square", "--json"),
    "status": ("--json",),
    "duplicates": ("--json",),
    "label": ("--labels", "red,green,blue", "--json"),
}
FAULTS = ("silent other answer", "traceback")

Damage = Callable[[Path, random.Random], None]


def cut(path: Path, draw: random.Random) -> None:
    """Truncate the file somewhere."""
    os.truncate(path, draw.randrange(path.stat().st_size))


def emptied(path: Path, draw: random.Random) -> None:
    """Leave 0 bytes."""
    os.truncate(path, 0)


def zeroed(path: Path, draw: random.Random) -> None:
    """Overwrite a part of the file with zeros."""
    data = bytearray(path.read_bytes())
    start = draw.randrange(len(data)) // PAGE * PAGE
    data[start : start + PAGE] = bytes(len(data[start : start + PAGE]))
    path.write_bytes(data)


def zeros(path: Path, draw: random.Random) -> None:
    """Overwrite all of the file with zeros."""
    path.write_bytes(bytes(path.stat().st_size))


def flipped(path: Path, draw: random.Random) -> None:
    """Flip eight bits."""
    data = bytearray(path.read_bytes())
    for _ in range(8):
        place = draw.randrange(len(data))
        if path.name == CATALOG:  # the header of a page
            place = min(place // PAGE * PAGE + draw.randrange(8), len(data) - 1)
        data[place] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def appended(path: Path, draw: random.Random) -> None:
    """Add random bytes at the end."""
    with path.open("ab") as file:
        file.write(draw.randbytes(1000))


def scrambled(path: Path, draw: random.Random) -> None:
    """Replace all of the file with random bytes."""
    path.write_bytes(draw.randbytes(path.stat().st_size))


def newer(path: Path, draw: random.Random) -> None:
    """Say that a later version wrote the catalog."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


def removed(path: Path, draw: random.Random) -> None:
    """Remove the file."""
    path.unlink()


DAMAGES: tuple[Damage, ...] = (
    cut, emptied, zeroed, zeros, flipped, appended, scrambled, newer, removed
)  # fmt: skip


def make_photos(folder: Path) -> None:
    """Draw plain squares on noise, some of them twice."""
    folder.mkdir()
    draw = np.random.default_rng(18)
    for number in range(IMAGES):
        pixels = draw.integers(0, 80, (96, 96, 3), dtype=np.uint8)
        pixels[24:72, 24:72, number % 3] = 255
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
        if number % 5 == 0:
            Image.fromarray(pixels).resize((64, 64)).save(folder / f"{number:02}-small.png")


def run(name: str, photos: Path, collection: Path) -> tuple[int, str, str]:
    """Run a command; return its exit code, its output without times, and its messages."""
    paths = (photos,) if name == "index" else ()
    done = subprocess.run(
        [COMMAND, name, *paths, *COMMANDS[name], "--collection", collection],
        capture_output=True,
        text=True,
        timeout=300,
    )
    output = re.sub(r'"(seconds|images_per_second)": [0-9.]+', "", done.stdout)
    return done.returncode, output, done.stderr.strip()


def outcome(before: str, code: int, output: str, messages: str) -> str:
    """Return what came of a command whose output was `before` when all was well."""
    if "Traceback" in messages or "a fault of clipdex" in messages or code < 0:
        return "traceback"
    if code == 1 and messages.startswith("error: ") and "\n" not in messages:
        return "refused in one line"
    if messages:
        return "said and repaired" if output == before else "said, other answer"
    return "same answer" if output == before else "silent other answer"


def main() -> None:
    """Damage files, run commands, print counts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("--rounds", type=int, default=1)
    asked = parser.parse_args()
    draw = random.Random(asked.seed)
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        photos, whole, hurt = (Path(scratch) / name for name in ("photos", "whole", "collection"))
        make_photos(photos)
        run("index", photos, hurt)
        before = {name: run(name, photos, hurt)[1] for name in COMMANDS}
        shutil.move(hurt, whole)
        names = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
        for _ in range(asked.rounds):
            for name in names:
                for damage in DAMAGES:
                    size = (whole / name).stat().st_size
                    if (damage is newer and name.name != CATALOG) or (
                        not size and damage is not removed
                    ):
                        continue
                    state = draw.getstate()
                    for command in COMMANDS:
                        draw.setstate(state)
                        shutil.rmtree(hurt, ignore_errors=True)
                        shutil.copytree(whole, hurt)
                        damage(hurt / name, draw)
                        found = run(command, photos, hurt)
                        kind = outcome(before[command], *found)
                        counts[kind] += 1
                        if kind in (*FAULTS, "said, other answer"):
                            say(f"{kind}: {command} with {name} {damage.__name__}: {found[2]}")
    for kind, count in counts.most_common():
        say(f"{count:5} {kind}")
    sys.exit(any(counts[kind] for kind in FAULTS))


if __name__ == "__main__":
    main()
