"""Where the thumbnails that a server makes lie: files beside the catalog, named by content hash.

A number means another image in another collection, and collections come and go in one place; a hash
means one image wherever it is. A file ends with a checksum, without which it is made anew.
"""

import os
import re
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from .collection import Collection
from .content_hash import digest as checksum

CHECKSUM_BYTES = 16
NAME = re.compile(r"(?P<content>[0-9a-f]{32})-[0-9]+\.webp")
# Older versions named them by number, and a process that was killed may have left a part of one.
OWN = re.compile(r"[0-9]{1,19}-[0-9]+\.webp|tmp[0-9a-z_]+\.tmp")


def thumbnails_folder(collection: Collection) -> Path:
    """Return the folder of a collection's thumbnails; it need not exist."""
    return collection.folder / "thumbnails"


def read_thumbnail(collection: Collection, content: bytes, size: int) -> bytes | None:
    """Return a thumbnail that was made before; None if there is none, or it is damaged.

    Args:
        collection: The collection.
        content: The content's hash.
        size: Maximum of the longer side, in pixels.
    """
    with suppress(OSError):
        stored = thumbnail_path(collection, content, size).read_bytes()
        data, found = stored[:-CHECKSUM_BYTES], stored[-CHECKSUM_BYTES:]
        if data and checksum(content + data) == found:
            return data
    return None


def write_thumbnail(collection: Collection, content: bytes, size: int, data: bytes) -> None:
    """Keep a thumbnail; a full or read-only disk is not an error."""
    path = thumbnail_path(collection, content, size)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        try:
            with open(handle, "wb") as file:
                file.write(data + checksum(content + data))
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
            raise


def remove_thumbnails(collection: Collection, contents: Iterable[bytes]) -> None:
    """Delete the thumbnails of contents, of every size, and all that are named by number."""
    gone = {content.hex() for content in contents}
    for path in thumbnails_folder(collection).glob("*/*"):
        found = NAME.fullmatch(path.name)
        if OWN.fullmatch(path.name) or (found and found["content"] in gone):
            _remove(path)


def keep_thumbnails(collection: Collection, contents: Iterable[bytes]) -> int:
    """Delete the thumbnails of all contents but these; return how many files went."""
    known = {content.hex() for content in contents}
    removed = 0
    for path in thumbnails_folder(collection).glob("*/*"):
        found = NAME.fullmatch(path.name)
        if OWN.fullmatch(path.name) or (found and found["content"] not in known):
            removed += _remove(path)
    return removed


def _remove(path: Path) -> bool:
    with suppress(OSError):  # still open, where the system forbids it
        path.unlink()
        return True
    return False


def thumbnail_path(collection: Collection, content: bytes, size: int) -> Path:
    """Return where the thumbnail of a content, by its hash, lies."""
    name = content.hex()
    return thumbnails_folder(collection) / name[:2] / f"{name}-{size}.webp"
