"""Photos in folders, of many dates and zones, with what is true of each."""

import os
import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
from PIL import Image

from indexer import build
from indexer.testing import FakeEncoder
from search import Engine

HERE = ZoneInfo("Europe/Berlin")
FOLDERS = ("2023/Italy", "2024/Italy", "2024/Norway", "2024/Norway/raw", "", "italy trip")
ZONES = (None, "+02:00", "-07:00", "+05:30", "Z")


@dataclass(frozen=True)
class DatedPhoto:
    """A file that a test made, with its dates."""

    path: Path
    taken: datetime | None  # aware where the file names a zone
    changed: int  # seconds since 1970 UTC
    image: int  # files of one image hold the same bytes


def write(
    path: Path, seed: int, taken: datetime | None, zone: str | None, changed: int | None = None
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    exif = Image.Exif()
    inner = exif.get_ifd(0x8769)
    if taken is not None:
        inner[0x9003] = taken.strftime("%Y:%m:%d %H:%M:%S")
        if zone is not None:
            inner[0x9011] = zone
    pixels = random.integers(0, 256, size=(8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "JPEG", quality=95, exif=exif)
    if changed is not None:
        os.utime(path, (changed, changed))


def make(folder: Path, count: int) -> list[DatedPhoto]:
    """Files in folders, of dates around 2024 with and without a zone; a fifth are copies."""
    random = np.random.default_rng(7)
    made: list[DatedPhoto] = []
    for number in range(count):
        place = folder / FOLDERS[random.integers(len(FOLDERS))]
        path = place / f"{'IMG' if random.random() < 0.7 else 'copy'}_{number}.jpg"
        changed = int(random.integers(1_672_000_000, 1_735_000_000))
        if made and random.random() < 0.2:
            original = made[random.integers(len(made))]
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(original.path, path)
            os.utime(path, (changed, changed))
            made.append(DatedPhoto(path, original.taken, changed, original.image))
            continue
        wall, zone = None, None
        if random.random() < 0.7:
            wall = datetime(2023, 1, 1) + timedelta(seconds=int(random.integers(63_000_000)))
            zone = ZONES[random.integers(len(ZONES))]
        write(path, number, wall, zone, changed)
        taken = wall
        if wall is not None and zone is not None:
            taken = wall.replace(tzinfo=datetime.fromisoformat(f"2024-01-01T00:00{zone}").tzinfo)
        made.append(DatedPhoto(path, taken, changed, number))
    return made


def open_collection(folder: Path, photos: Path, **options: object) -> Engine:
    build([photos], collection=folder, encoder=FakeEncoder(), **options)  # type: ignore[arg-type]
    return Engine.open(folder, encoder=FakeEncoder())
