"""What an image looks like, in 1 KiB: the whole of it as 32 x 32 grey levels.

Made from the decoded image rather than from the model's pixels, which are often only its middle.
The sides' ratio is left out: copies that were squeezed look like their originals. Sketches of one
image at any size agree to about a grey level, since both are means over the same areas.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # readers of sketches have no use for Pillow
    from PIL import Image

SIDE = 32
BOX = 4  # Image.Resampling.BOX
# Large images are first reduced by whole numbers, which is quicker, to this many times SIDE.
GAP = 8.0

Sketches = NDArray[np.uint8]
"""`(n, SIDE, SIDE)` luminance, 0 to 255."""


def sketch(image: "Image.Image") -> bytes:
    """`SIDE * SIDE` bytes of luminance, row by row, of an upright RGB image."""
    return image.convert("L").resize((SIDE, SIDE), BOX, reducing_gap=GAP).tobytes()
