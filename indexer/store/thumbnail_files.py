"""Where the thumbnails that a server makes lie: files beside the catalog, named by content."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from .collection import Collection

# Folders hold this many contents each.
SHARE = 1000


def thumbnails_folder(collection: Collection) -> Path:
    """Return the folder of a collection's thumbnails; it need not exist."""
    return collection.folder / "thumbnails"


def thumbnail_path(collection: Collection, content: int, size: int) -> Path:
    """Return the path of a thumbnail of at most `size` pixels a side."""
    folder = thumbnails_folder(collection) / str(content // SHARE)
    return folder / f"{content}-{size}.webp"


def remove_thumbnails(collection: Collection, contents: Iterable[int]) -> None:
    """Delete the thumbnails of contents, of every size."""
    by_folder: dict[int, set[int]] = {}
    for content in contents:
        by_folder.setdefault(content // SHARE, set()).add(content)
    for number, wanted in by_folder.items():
        for path in (thumbnails_folder(collection) / str(number)).glob("*-*"):
            name = path.name.partition("-")[0]
            if name.isdecimal() and int(name) in wanted:
                with suppress(OSError):  # still open, where the system forbids it
                    path.unlink()
