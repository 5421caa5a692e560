"""Which large files were found whole, so that a command does not read gigabytes to say so again.

A file is believed until its size, its times or its inode change. What is remembered stands in the
user's cache, not in the collection, which is data; where that cannot be written, files are read
each time.
"""

import json
import os
import re
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from blake3 import blake3

from indexer.errors import ClipdexError
from indexer.json_files import Fields, read_json
from indexer.user_folders import cache_folder

# Smaller files are read faster than this is worth.
FROM_BYTES = 1 << 27
# A file that changed in the last second may change again without its times telling.
SETTLED_NS = 10**9

Stamp = tuple[int, ...]


def is_known(path: Path, stamp: Stamp | None, digests: bytes) -> bool:
    """Return whether a file in this state was found to have these checksums."""
    place = _place(path)
    if stamp is None or place is None or stamp[2] < FROM_BYTES:
        return False
    try:
        fields = Fields(read_json(place))
        known = fields.integers("stamp", len(stamp), -(2**63), 2**64)
        return known == stamp and fields.text("digests") == blake3(digests).hexdigest()
    except (OSError, ValueError):
        return False


def remember(path: Path, stamp: Stamp | None, digests: bytes) -> None:
    """Keep that a file in this state has these checksums, or go on without."""
    place = _place(path)
    if stamp is None or place is None or stamp[2] < FROM_BYTES:
        return
    if time.time_ns() - max(stamp[3:]) <= SETTLED_NS:
        return
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(".new", dir=place.parent)
        try:
            with os.fdopen(handle, "w") as stream:
                json.dump({"stamp": stamp, "digests": blake3(digests).hexdigest()}, stream)
            os.replace(beside, place)
        except BaseException:
            os.unlink(beside)
            raise


def _place(path: Path) -> Path | None:
    try:
        folder = cache_folder() / "checked"
    except ClipdexError:  # the user has no home folder
        return None
    # One for each collection and kind of file: generations come and go.
    name = os.fsencode(path.parent.absolute() / re.sub(r"-\d+\.", ".", path.name))
    return folder / f"{blake3(name).hexdigest(length=16)}.json"
