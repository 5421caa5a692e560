"""Makes gray thumbnails: a whole image as 32 x 32 gray levels, in 1 KiB.

A thumbnail is made from the decoded image rather than from the model's pixels, which are often
only its middle. The aspect ratio is dropped, so squeezed copies look like their originals.
Thumbnails of one image at different sizes agree to about a gray level, since they are means over
the same areas.
"""

from PIL import Image

from indexer.store.tables.contents import THUMBNAIL_SIDE

# Large images are first reduced by an integer factor, which is faster, to this many times the side.
GAP = 8.0


def gray_thumbnail(image: Image.Image) -> bytes:
    """Return the luminance of an upright RGB image: `THUMBNAIL_SIDE ** 2` bytes, row by row."""
    small = image.convert("L").resize(
        (THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX, reducing_gap=GAP
    )
    return small.tobytes()
