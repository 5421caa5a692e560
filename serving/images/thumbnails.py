"""Small WebP images, made when they are first asked for and kept beside the collection."""

import os
import tempfile
from contextlib import suppress
from io import BytesIO
from pathlib import Path

from PIL import Image

from indexer.images.decode import Limits, decode
from indexer.store.collection import Collection
from indexer.store.thumbnail_files import thumbnail_path, thumbnails_folder

QUALITY = 80
# Of the preview that stands for a file which browsers do not show.
PREVIEW_SIDE = 4096
# 0 to 6: how long WebP's encoder tries.
EFFORT = 2


def webp(data: bytes, side: int, limits: Limits, *, name: bytes = b"") -> bytes:
    """Encode a small WebP of an image file: upright, sRGB, without metadata.

    Args:
        data: The file's bytes.
        side: Maximum of the longer side, in pixels.
        limits: Largest image to decode.
        name: The file's name, since some RAW files are identified by that alone.

    Raises:
        ImageError: The file cannot be decoded.
    """
    image = decode(data, limits, at_least=(side, side), name=name).image
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    buffer = BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY, method=EFFORT)
    return buffer.getvalue()


class Thumbnails:
    """The thumbnails of one collection; none are kept where its folder is read-only."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self.folder = thumbnails_folder(collection)

    def read(self, content: int, size: int) -> bytes | None:
        """Return a thumbnail that was made before, if there is one."""
        try:
            return self._path(content, size).read_bytes()
        except OSError:
            return None

    def write(self, content: int, size: int, data: bytes) -> None:
        """Keep a thumbnail; a full or read-only disk is not an error."""
        path = self._path(content, size)
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
            try:
                with open(handle, "wb") as file:
                    file.write(data)
                os.replace(temporary, path)
            except OSError:
                os.unlink(temporary)
                raise

    def sweep(self, known: set[int]) -> int:
        """Remove the thumbnails of contents that are not `known` any more; return how many."""
        removed = 0
        for path in self.folder.glob("*/*"):
            number = path.name.partition("-")[0]
            if not number.isdigit() or int(number) not in known:
                with suppress(OSError):
                    path.unlink()
                    removed += 1
        return removed

    def _path(self, content: int, size: int) -> Path:
        return thumbnail_path(self._collection, content, size)
