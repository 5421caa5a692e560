"""A collection of small photos that were taken over many years."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from support.command import COMMAND
from support.dated_photos import write

COUNT = 300
FIRST, LAST = datetime(2004, 3, 1), datetime(2024, 6, 30)
# Two days of which there are so many photos that each fills rows.
FEAST, FEAST_PHOTOS = datetime(2010, 6, 11), 60


@dataclass(frozen=True)
class Years:
    """A collection, and the moment of each photo by its name."""

    collection: Path
    moments: dict[str, datetime]

    @property
    def newest_first(self) -> Sequence[str]:
        return sorted(self.moments, key=lambda name: self.moments[name], reverse=True)


def make_years(folder: Path, count: int) -> Years:
    """Make and index `count` photos, most of them dated, the others by their file's time.

    Half of them lie in the folder `even`.
    """
    random = np.random.default_rng(3)
    seconds = random.choice(int((LAST - FIRST).total_seconds()), count, replace=False)
    seconds[:FEAST_PHOTOS] = int((FEAST - FIRST).total_seconds()) + random.choice(
        2 * 24 * 3600, FEAST_PHOTOS, replace=False
    )
    moments = {}
    for number, second in enumerate(seconds.tolist()):
        moment = FIRST + timedelta(seconds=second)
        name = f"{number:05}.jpg"
        place = folder / "photos" / ("odd" if number % 2 else "even")
        changed = int(moment.replace(tzinfo=UTC).timestamp())
        dated = number % 10 > 0
        write(
            place / name,
            number,
            moment if dated else None,
            None,
            1_000_000_000 if dated else changed,
        )
        moments[name] = moment
    collection = folder / "collection"
    subprocess.run(
        [COMMAND, "index", folder / "photos", "--collection", collection],
        check=True,
        capture_output=True,
    )
    return Years(collection, moments)
