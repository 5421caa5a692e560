"""Damages the files of models, heads and concepts, and counts what the command makes of them.

    python -m scripts.torture.models --seed 18

Each file is truncated, zeroed, changed in one bit, emptied, made newer than this clipdex, nested
deeply, removed, and replaced by a folder, a pipe and a link to itself. The command then searches,
labels or indexes. An outcome is "error", one line and exit code 1; "same", the answer of the whole
file; or a fault: "traceback", "hangs", or "other", another answer without a word. Faults make the
exit code 1.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from adaptation.artifact_writer import save
from indexer.bundles.bundle import Bundle
from indexer.model_name import BUILT_IN_FOLDER

from .command import COMMAND
from .report import say

HANGS_AFTER = 300
FAULTS = ("traceback", "hangs", "other")
DEEP = b"[" * 100_000 + b"]" * 100_000

Outcome = tuple[int, bytes]


def truncate(file: Path, chance: random.Random) -> None:
    """Cut a file off somewhere."""
    os.truncate(file, chance.randrange(file.stat().st_size))


def zero(file: Path, chance: random.Random) -> None:
    """Overwrite a file with zeros."""
    file.write_bytes(bytes(file.stat().st_size))


def flip(file: Path, chance: random.Random) -> None:
    """Change one bit."""
    data = bytearray(file.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    file.write_bytes(data)


def empty(file: Path, chance: random.Random) -> None:
    """Leave nothing."""
    file.write_bytes(b"")


def newer(file: Path, chance: random.Random) -> None:
    """Give a manifest another format; other files, another beginning."""
    data = file.read_bytes()
    if file.suffix == ".json":
        file.write_text(json.dumps({**json.loads(data), "format": 2}))
    else:
        file.write_bytes(b"\x02" + data[1:])


def deep(file: Path, chance: random.Random) -> None:
    """Nest brackets."""
    file.write_bytes(DEEP)


def gone(file: Path, chance: random.Random) -> None:
    """Remove it."""
    file.unlink()


def folder(file: Path, chance: random.Random) -> None:
    """Put a folder in its place."""
    file.unlink()
    file.mkdir()


def pipe(file: Path, chance: random.Random) -> None:
    """Put a pipe in its place that nobody writes to."""
    file.unlink()
    os.mkfifo(file)


def loop(file: Path, chance: random.Random) -> None:
    """Put a link to itself in its place."""
    file.unlink()
    file.symlink_to(file)


WAYS: tuple[Callable[[Path, random.Random], None], ...] = (
    truncate, zero, flip, empty, newer, deep, gone, folder, pipe, loop,
)  # fmt: skip


def main() -> int:
    """Damage every file in every way, print the counts, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    chance = random.Random(parser.parse_args().seed)
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as base:
        bench = Bench(Path(base))
        for what, files in bench.files().items():
            commands = bench.commands(what)
            whole = [bench.run(command) for command in commands]
            for file in files:
                for way in WAYS:
                    for command, expected in zip(commands, whole, strict=True):
                        outcome = bench.outcome(file, way, command, expected, chance)
                        counts[outcome] += 1
                        if outcome in FAULTS:
                            say(f"{outcome}: {way.__name__} {what}/{file.name}, {command[0]}")
    say(", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())))
    return int(any(counts[fault] for fault in FAULTS))


class Bench:
    """A collection, with a model, a head and a concept of its own, in a folder."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.model, self.collection = base / "model", base / "collection"
        self.photo = base / "photo.png"
        (base / "photos").mkdir()
        noise = np.random.default_rng(0)
        for number in range(3):
            pixels = noise.integers(0, 256, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(base / "photos" / f"{number}.png")
        Image.fromarray(pixels[::-1]).save(self.photo)
        shutil.copytree(BUILT_IN_FOLDER, self.model)
        self.run(("index", base / "photos", "--model", self.model))
        mark, dim = Bundle.load(self.model).fingerprint, Bundle.load(self.model).dim
        known = {"model": "pocket", "fingerprint": mark, "made": "2026-11-01T00:00:00+00:00"}
        head = {"kind": "linear", "method": "probe", "classes": ["a", "b"], "temperature": 1.0}
        weights = noise.standard_normal((2, dim)).astype(np.float32)
        bias = np.zeros(2, np.float32)
        save(self.collection / "heads", "head", head | known, {"weights": weights, "bias": bias})
        concept = {"kind": "concept", "images": {"like": ["a.jpg"]}}
        vector = np.eye(1, dim, dtype=np.float32)[0]
        save(self.collection / "concepts", "rex", concept | known, {"vector": vector})

    def files(self) -> dict[str, list[Path]]:
        """Return the files to damage, by what they belong to."""
        places = {
            "model": self.model,
            "head": self.collection / "heads" / "head",
            "concept": self.collection / "concepts" / "rex",
        }
        return {what: sorted(place.iterdir()) for what, place in places.items()}

    def commands(self, what: str) -> list[tuple[object, ...]]:
        """Return what is tried with something that is damaged."""
        if what == "model":
            return [
                ("search", "a dog", "--json"),
                ("label", self.photo, "--labels", "noise,dog", "--json"),
            ]
        if what == "head":
            return [("label", "--head", "head", "--json")]
        return [("search", "rex", "--json")]

    def run(self, command: tuple[object, ...]) -> Outcome:
        """Return the exit code of a command and what it printed; its errors where it failed."""
        done = subprocess.run(
            [COMMAND, *map(str, command)],
            env={
                **os.environ,
                "CLIPDEX_COLLECTION": str(self.collection),
                "CLIPDEX_CACHE": str(self.base / "cache"),
            },
            capture_output=True,
            timeout=HANGS_AFTER,
            check=False,
        )
        return done.returncode, done.stderr if done.returncode else done.stdout

    def outcome(
        self,
        file: Path,
        way: Callable[[Path, random.Random], None],
        command: tuple[object, ...],
        whole: Outcome,
        chance: random.Random,
    ) -> str:
        """Damage a file, run a command, put the file back, and return what happened."""
        kept = self.base / "kept"
        shutil.copy2(file, kept)
        try:
            way(file, chance)
            code, said = self.run(command)
        except subprocess.TimeoutExpired:
            return "hangs"
        finally:
            if file.is_dir() and not file.is_symlink():
                file.rmdir()
            else:
                file.unlink(missing_ok=True)
            os.replace(kept, file)
        if code == 0:
            return "same" if said == whole[1] else "other"
        lines = said.decode().splitlines()
        plain = len(lines) == 1 and "a fault of clipdex" not in lines[0]
        return "error" if code == 1 and plain else "traceback"


if __name__ == "__main__":
    sys.exit(main())
