"""Set the clock forth and back between runs, and under a server.

usage: python -m scripts.torture.clocks [--rounds 12] [--seed 18]

Photos are changed, added, deleted and touched by a clock that is years ahead or behind, and each
`index` must find exactly these; a server must go on to answer, keep its sessions, end its jobs and
let in whom it kept out, also when the clock goes back by years. What was missed, what was read
again for nothing, a traceback and a hang are faults: exit code 1. Only Python's `time.time` and
`time.time_ns` are moved, by a module that each process of clipdex imports first; times of files are
set to match.
"""

import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from .command import answer, clipdex, wrong
from .photos import make_image, make_photos
from .report import Report, rounds_and_seed
from .serving import Server, served

IMAGES = 16
STEPS = 6
YEAR = 365 * 24 * 3600
SHIFTS = (0, 1, -1, 3600, -3600, 30 * YEAR, 5 * YEAR, -5 * YEAR, -30 * YEAR)
KEY = "torture"
RIGHT = {"Authorization": f"Bearer {KEY}"}
# So long may somebody wait who has guessed keys, and a job may run.
PATIENCE = 60
MOVED_CLOCK = """
import os, time
_time, _time_ns = time.time, time.time_ns
def _shift():
    with open(os.environ["TORTURE_CLOCK"]) as file:
        return int(file.read() or 0)
time.time = lambda: _time() + _shift()
time.time_ns = lambda: _time_ns() + _shift() * 10**9
"""


class Clock:
    """The clock of clipdex's processes.

    Args:
        folder: Where it is kept.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(MOVED_CLOCK)
        self._file = folder / "shift"
        others = os.environ.get("PYTHONPATH", "")
        path = os.pathsep.join(filter(None, (str(folder), others)))
        self.environment = {"PYTHONPATH": path, "TORTURE_CLOCK": str(self._file)}
        self.set(0)

    def set(self, shift: int) -> None:
        """Let it be so many seconds ahead."""
        new = self._file.with_suffix(".new")
        new.write_text(str(shift))
        os.replace(new, self._file)
        self._shift = shift

    def touch(self, path: Path) -> None:
        """Give a file the time of this clock."""
        now = max(0, time.time_ns() + self._shift * 10**9)
        os.utime(path, ns=(now, now))


def changes(clock: Clock, photos: Path, step: int, draw: random.Random) -> dict[str, int]:
    """Change photos; return what a run should report of them."""
    names = sorted(photos.rglob("*.jpg"))
    draw.shuffle(names)
    changed = names[: draw.randrange(3)]
    touched = names[3 : 3 + draw.randrange(3)]
    deleted = names[6 : 6 + draw.randrange(2)]
    added = [photos / "first" / f"new {step} {n}.jpg" for n in range(draw.randrange(3))]
    for path in changed + added:
        make_image(path, draw.randrange(1000, 2**32))
    for path in changed + added + touched:
        clock.touch(path)
    for path in deleted:
        path.unlink()
    new = len(changed) + len(added)
    return {
        "indexed": new,
        "reused": len(touched),
        "unchanged": len(names) - len(changed) - len(touched) - len(deleted),
        "removed": len(deleted),
        "failed": 0,
    }


def runs(folder: Path, draw: random.Random) -> list[str]:
    """Index again and again while the clock moves; return the faults."""
    clock, photos, collection = Clock(folder / "clock"), folder / "photos", folder / "collection"
    make_photos(photos, IMAGES)
    ahead = draw.choice(SHIFTS)
    clock.set(ahead)
    for path in photos.rglob("*.jpg"):
        clock.touch(path)
    place = ("--collection", collection)
    clipdex("index", photos, *place, **clock.environment)
    faults = []
    for step in range(STEPS):
        shift = draw.choice(SHIFTS)
        clock.set(shift)
        expected = changes(clock, photos, step, draw)
        done = clipdex("index", photos, "--json", *place, **clock.environment)
        if fault := wrong(done, {0}):
            faults.append(f"index at {shift}: {fault}")
            break
        found = json.loads(done.stdout.splitlines()[-1])
        if {name: found[name] for name in expected} != expected:
            faults.append(f"index at {shift} after {ahead}: {found}, expected {expected}")
        if answer(collection) != sorted(map(str, photos.rglob("*.jpg"))):
            faults.append(f"search at {shift} finds other files")
        for question in (("status",), ("search", "red", "--since", "7d"), ("duplicates",)):
            if fault := wrong(clipdex(*question, *place, **clock.environment), {0}):
                faults.append(f"{question} at {shift}: {fault}")
        ahead = shift
    return faults


def waited(server: Server, path: str, done: str, seconds: float) -> bool:
    """Return whether an answer holds a text within some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = server.ask("GET", path, headers=RIGHT)
        if found is not None and found.status_code == 200 and done in found.text:
            return True
        time.sleep(0.5)
    return False


def server_goes_on(folder: Path, draw: random.Random) -> list[str]:
    """Move the clock under a server; return the faults."""
    clock, photos, collection = Clock(folder / "clock"), folder / "photos", folder / "collection"
    make_photos(photos, IMAGES)
    clipdex("index", photos, "--collection", collection)
    clock.set(draw.choice(SHIFTS))
    options = ("--allow-index", photos)
    environment = {**clock.environment, "CLIPDEX_API_KEY": KEY, "CLIPDEX_RATE_LIMIT": "20"}
    with served(collection, *options, **environment) as server:
        for _ in range(3):
            server.ask("POST", "/v1/session", json={"key": KEY})
            cookies = dict(server.client.cookies)
            started = server.ask("POST", "/v1/index", json={}, headers=RIGHT)
            clock.set(draw.choice(SHIFTS))
            inside = server.ask("GET", "/v1/session", cookies=cookies)
            if inside is None or not inside.json()["signed_in"]:
                server.faults.append("a session has ended")
            server.client.cookies.clear()
            if started is None or started.status_code != 202:
                server.faults.append(f"a job cannot begin: {started and started.text}")
            else:
                job = f"/v1/jobs/{started.json()['id']}"
                if not waited(server, job, '"done"', PATIENCE):
                    server.faults.append("a job does not end")
            for guess in range(40):
                server.ask("GET", "/v1/status", headers={"X-API-Key": f"wrong {guess}"})
            clock.set(draw.choice(SHIFTS))
            if not waited(server, "/v1/search?q=red", "hits", PATIENCE):
                server.faults.append("the right key is refused for long")
    return server.faults


def main() -> int:
    """Run the command."""
    options = rounds_and_seed(12)
    draw = random.Random(options.seed)
    report = Report()
    work = {"index runs": runs, "serve": server_goes_on}
    for number in range(options.rounds):
        name = list(work)[number % len(work)]
        with tempfile.TemporaryDirectory() as made:
            report.note(f"moved clock, {name}", f"round {number}", work[name](Path(made), draw))
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
