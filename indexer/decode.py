"""The bytes of one picture to an upright sRGB image.

JPEGs are decoded at a reduced DCT scale, at least twice the model's input, which costs a quarter
of the time and leaves the resampling filter enough to work with. Pillow's own pixel limit is a
process-wide global that warns before it raises, so it is switched off here and each file is held
to `Limits` before any of its pixels is decoded.
"""

import os
import stat
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageOps, UnidentifiedImageError

from .color import to_srgb
from .errors import ImageError

Image.MAX_IMAGE_PIXELS = None

# The formats of `scan.EXTENSIONS` (JPEG opens MPO too). Pillow's other plugins stay shut: EPS,
# for one, would start Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
# Decode at least this many times the model's input size.
REDUCTION_MARGIN = 2
ORIENTATION_TAG = 0x0112
NON_BLOCKING = getattr(os, "O_NONBLOCK", 0)  # not on Windows
BINARY = getattr(os, "O_BINARY", 0)  # only on Windows


@dataclass(frozen=True)
class Limits:
    """The largest file that is read (bytes) and the largest picture that is decoded (pixels)."""

    max_bytes: int = 256 * 2**20
    max_pixels: int = 200_000_000


@dataclass(frozen=True)
class Decoded:
    """A picture as `RGB`, upright, perhaps reduced; and what the file says of itself.

    width, height: of the full picture, upright, in pixels. format: Pillow's name of it.
    """

    image: Image.Image
    width: int
    height: int
    format: str


def read_file(location: bytes, limits: Limits) -> tuple[os.stat_result, bytes]:
    """A regular file's facts, as they were before reading, and its bytes.

    Raises ImageError, whose text is the reason.
    """
    try:
        # Not blocking: a FIFO that took the file's name since the scan must not hang us.
        handle = os.open(location, os.O_RDONLY | NON_BLOCKING | BINARY)
        with open(handle, "rb") as file:
            info = os.fstat(handle)
            if not stat.S_ISREG(info.st_mode):
                raise ImageError("not a regular file")
            if info.st_size > limits.max_bytes:
                raise ImageError(
                    f"{info.st_size / 2**20:,.0f} MiB is above the limit of "
                    f"{limits.max_bytes / 2**20:,.0f} MiB (--max-bytes raises it)"
                )
            return info, file.read()
    except OSError as exc:
        raise ImageError(f"cannot be read: {exc.strerror or exc}") from exc


def decode(data: bytes, limits: Limits, *, at_least: tuple[int, int] | None = None) -> Decoded:
    """The picture in `data`.

    at_least: (height, width) that the caller will resize to; a JPEG may come back smaller than
    the file, but never under twice that.
    Raises ImageError, whose text is the reason, for anything that is no readable picture.
    """
    if not data:
        raise ImageError("empty file")
    try:
        return _decode(data, limits, at_least)
    except ImageError:
        raise
    except UnidentifiedImageError as exc:
        raise ImageError("not a picture of a format that clipdex reads") from exc
    except MemoryError as exc:
        raise ImageError("too large for this machine's memory") from exc
    except Exception as exc:  # a damaged file surfaces as almost any error of a decoder
        raise ImageError(f"damaged: {exc or type(exc).__name__}") from exc


def _decode(data: bytes, limits: Limits, at_least: tuple[int, int] | None) -> Decoded:
    with Image.open(BytesIO(data), formats=FORMATS) as image:
        width, height = image.size
        if width * height > limits.max_pixels:
            raise ImageError(
                f"{width} x {height} pixels is above the limit of "
                f"{limits.max_pixels / 1e6:,.0f} megapixels (--max-pixels raises it)"
            )
        format_name = image.format or ""
        if at_least is not None and format_name in ("JPEG", "MPO"):
            side = REDUCTION_MARGIN * max(at_least)
            # Only the size is asked for: a mode would turn CMYK or grey before its profile.
            image.draft(image.mode, (side, side))
        image.load()
        orientation = _orientation(image)
        if orientation in (5, 6, 7, 8):
            width, height = height, width
        upright = image if orientation == 1 else ImageOps.exif_transpose(image)
        return Decoded(to_srgb(upright), width, height, format_name)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8, still to be applied (Pillow turns TIFFs while loading them)."""
    try:
        value = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # a broken EXIF block is no reason to lose the picture
        return 1
    return value if value in range(1, 9) else 1
