"""Small WebP images; `indexer.store.thumbnail_files` keeps them beside the collection."""

from io import BytesIO

from PIL import Image

from indexer.images.decode import Limits, decode

QUALITY = 80
# Of the preview that stands for a file which browsers do not show.
PREVIEW_SIDE = 4096
# 0 to 6: how long WebP's encoder tries.
EFFORT = 2


def small(data: bytes, side: int, limits: Limits, *, name: bytes = b"") -> Image.Image:
    """Decode an image file to a small image: upright, sRGB, without metadata.

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
    return image


def webp(data: bytes, side: int, limits: Limits, *, name: bytes = b"") -> bytes:
    """Encode a small WebP of an image file; see `small`."""
    buffer = BytesIO()
    small(data, side, limits, name=name).save(buffer, "WEBP", quality=QUALITY, method=EFFORT)
    return buffer.getvalue()
