"""When images were taken, by their headers alone: nothing is decoded."""

import os
import stat
from collections.abc import Sequence

from PIL import Image

from indexer.images.decode import BINARY, NON_BLOCKING
from indexer.images.metadata.capture_time import EXIF_IFD, EXIF_TAGS, parse

# Pillow reads these formats' headers itself; for the others a native decoder would have to open
# the file, and those run in processes of their own.
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP")
# Not when it was digitized or changed: a scanner or an export takes different things at once.
PHOTOGRAPHED = EXIF_TAGS[0][0]
DAY = 24 * 60 * 60


def capture_times(paths: Sequence[bytes]) -> list[int | None]:
    """Return when each image was taken, in seconds of its place's wall clock.

    Args:
        paths: The files; those that cannot be read have no time.

    Returns:
        None where the file does not name the second. Midnight is what dates without a time, and
        cameras without a clock, say.
    """
    return [_capture_time(path) for path in paths]


def _capture_time(path: bytes) -> int | None:
    try:
        # Non-blocking, since a FIFO may have replaced the file since it was encoded.
        handle = os.open(path, os.O_RDONLY | NON_BLOCKING | BINARY)
        with open(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return None
            with Image.open(file, formats=FORMATS) as image:
                # Pillow would decode a PNG to look for what follows the pixels.
                if image.format == "PNG" and "exif" not in image.info:
                    return None
                text = image.getexif().get_ifd(EXIF_IFD).get(PHOTOGRAPHED)
    except Exception:  # a broken header fails in as many ways as there are; the image may be fine
        return None
    found = parse(text) if isinstance(text, str) else None
    return found.seconds if found is not None and found.seconds % DAY else None
