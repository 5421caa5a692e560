"""What an image looks like, in 1 KiB: the whole of it as 32 x 32 gray levels.

Made from the decoded image rather than from the model's pixels, which are often only its middle.
The aspect ratio is left out: copies that were squeezed look like their originals. Thumbnails of one
image at any size agree to about a gray level, since both are means over the same areas.
"""

from PIL import Image

from indexer.store.contents import THUMBNAIL_SIDE

# Large images are first reduced by whole numbers, which is quicker, to this many times the side.
GAP = 8.0


def gray_thumbnail(image: Image.Image) -> bytes:
    """Return `THUMBNAIL_SIDE ** 2` bytes of luminance, row by row, of an upright RGB image."""
    small = image.convert("L").resize(
        (THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX, reducing_gap=GAP
    )
    return small.tobytes()
