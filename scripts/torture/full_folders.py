"""Fill the cache, the temporary folder or the collection under a server and under training.

usage: python -m scripts.torture.full_folders [--rounds 12] [--seed 18]

A disk is filled before or while `serve` searches, takes uploads, makes thumbnails and indexes, and
`adapt train` learns. While it is full, answers may be refused (4xx, 503, 507); once it has room,
the server must answer as before, and a full cache or temporary folder is no reason to refuse a
search. A server error, a traceback, a server that ends, a hang, and whatever is lost are faults:
exit code 1. Disks are tmpfs mounts, which need root.
"""

import io
import random
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from .command import answer, clipdex, wrong
from .disks import CAN_MOUNT, mount, small_disk
from .photos import make_image, make_photos
from .report import Report, rounds_and_seed, say
from .serving import Server, served

IMAGES = 30
DISK_KIB = 60_000
FREE_KIB = (0, 0, 4, 64, 1000)
QUESTIONS = 25
JOB_SECONDS = 120


def fill(disk: Path, free_kib: int) -> None:
    """Leave this much room."""
    with suppress(OSError), open(disk / "filler", "ab", buffering=0) as file:
        while True:
            if not file.write(bytes(4096)):
                break
    with open(disk / "filler", "rb+") as file:
        file.truncate(max(0, file.seek(0, 2) - 1024 * free_kib))


def uploads(photos: Path) -> list[bytes]:
    """Return images of several formats, one of them larger than what is kept in memory."""
    found = []
    with Image.open(photos / "second" / "0.jpg") as image:
        for form in ("JPEG", "PNG", "TIFF", "AVIF"):
            written = io.BytesIO()
            image.save(written, form)
            found.append(written.getvalue())
    noise = np.random.default_rng(18).integers(0, 256, (1200, 1600, 3), dtype=np.uint8)
    written = io.BytesIO()
    Image.fromarray(noise).save(written, "PNG")
    return [*found, written.getvalue()]


def once(server: Server, sent: list[bytes], draw: random.Random) -> None:
    """Ask for something."""
    match draw.randrange(4):
        case 0:
            server.ask("GET", f"/v1/search?q=something {draw.randrange(1000)}")
        case 1:
            server.ask("POST", "/v1/search/image", files={"file": draw.choice(sent)})
        case 2:
            number, size = draw.randrange(1, IMAGES), draw.choice((64, 160, 320, 640))
            server.ask("GET", f"/v1/images/{number}/thumbnail?size={size}")
        case _:
            server.ask("POST", "/v1/index", json={})


def ids(server: Server, sent: list[bytes] | None = None) -> list[list[int]]:
    """Return what searches find, by text and by the uploads; an empty list where one fails."""
    answers = [server.ask("GET", "/v1/search?q=a red thing")]
    answers += [server.ask("POST", "/v1/search/image", files={"file": one}) for one in sent or ()]
    found = []
    for one in answers:
        hits = one.json()["hits"] if one is not None and one.status_code == 200 else []
        found.append([hit["id"] for hit in hits])
    return found


def wait_for_jobs(server: Server) -> None:
    """Wait until no job runs; one that does not end is a fault."""
    end = time.monotonic() + JOB_SECONDS
    while time.monotonic() < end:
        jobs = server.ask("GET", "/v1/jobs")
        if jobs is None or all(job["finished_at"] for job in jobs.json()["jobs"]):
            return
        time.sleep(0.2)
    server.faults.append("a job does not end")


def under_serve(
    which: str, disk: Path, photos: Path, collection: Path, draw: random.Random
) -> list[str]:
    """Fill a disk under a server; return the faults."""
    variables = {"cache": "CLIPDEX_CACHE", "temporary folder": "TMPDIR"}
    environment = {variables[which]: str(disk)} if which in variables else {}
    sent = uploads(photos)
    free, early = draw.choice(FREE_KIB), draw.random() < 0.5
    if early:
        fill(disk, free)
    with served(collection, "--allow-index", photos, **environment) as server:
        before = ids(server, sent) if not early else []
        fill(disk, free)
        for number in range(QUESTIONS):
            if number == QUESTIONS // 2:
                make_image(photos / "first" / "1.jpg", draw.randrange(2**32))
            once(server, sent, draw)
        if not all(ids(server)):
            server.faults.append("a search by text is refused while the disk is full")
        wait_for_jobs(server)
        mount("-o", "remount,size=1g", disk)
        (disk / "filler").unlink()
        after = ids(server, sent)
        if not all(after):
            server.faults.append("a search is refused once there is room")
        # The image that has changed may stand elsewhere; nothing else may.
        if before and any(len(set(a) ^ set(b)) > 2 for a, b in zip(before, after, strict=True)):
            server.faults.append(f"other answers: {before} {after}")
        server.ask("POST", "/v1/index", json={})
        wait_for_jobs(server)
    return server.faults


def under_train(
    which: str, disk: Path, photos: Path, collection: Path, draw: random.Random
) -> list[str]:
    """Fill a disk under `adapt train`; return the faults."""
    fill(disk, draw.choice(FREE_KIB))
    variables = {"cache": "CLIPDEX_CACHE", "temporary folder": "TMPDIR"}
    environment = {variables[which]: str(disk)} if which in variables else {}
    method = draw.choice(("zero-shot-probe", "linear-probe", "prototypes"))
    train = ("adapt", "train", "colours", photos, "--method", method, "--force")
    done = clipdex(*train, "--collection", collection, **environment)
    faults = [wrong(done, {0, 1})]
    label = ("label", photos, "--head", "colours", "--json", "--collection", collection)
    if done.returncode == 0:
        faults.append(wrong(clipdex(*label, **environment), {0}))
    mount("-o", "remount,size=1g", disk)
    (disk / "filler").unlink()
    faults.append(wrong(clipdex(*train, "--collection", collection, **environment), {0}))
    faults.append(wrong(clipdex(*label, **environment), {0}))
    return [fault for fault in faults if fault]


def main() -> int:
    """Run the command."""
    options = rounds_and_seed(12)
    if not CAN_MOUNT:
        say("not run: only root can mount a disk")
        return 0
    draw = random.Random(options.seed)
    report = Report()
    work = {"serve": under_serve, "train": under_train}
    with tempfile.TemporaryDirectory() as made:
        pristine, whole, photos = (Path(made) / name for name in ("pristine", "whole", "photos"))
        make_photos(pristine, IMAGES)
        shutil.copytree(pristine, photos)
        every = sorted(str(path) for path in photos.rglob("*.jpg"))
        clipdex("index", photos, "--collection", whole)
        cases = [
            (which, name) for which in ("cache", "temporary folder", "collection") for name in work
        ]
        for number in range(options.rounds):
            which, name = cases[number % len(cases)]
            shutil.copytree(pristine, photos, dirs_exist_ok=True)
            with small_disk(DISK_KIB) as disk:
                place = Path(made) / f"collection {number}"
                if which == "collection":
                    place = disk / "collection"
                shutil.copytree(whole, place)
                faults: list[str | None] = [*work[name](which, disk, photos, place, draw)]
                faults.append(wrong(clipdex("index", photos, "--collection", place), {0}))
                if answer(place) != every:
                    faults.append("the collection is not complete")
                shutil.rmtree(place)
            report.note(f"full {which} under {name}", f"round {number}", faults)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
