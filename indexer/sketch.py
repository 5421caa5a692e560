"""What a picture looks like, in 1 KiB: the whole of it as 32 x 32 grey levels.

Made from the decoded picture rather than from the model's pixels, which are often only its middle.
The sides' ratio is left out: copies that were squeezed look like their originals. Sketches of one
picture at any size agree to about a grey level, since both are means over the same areas.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .catalogue import Catalogue

if TYPE_CHECKING:  # readers of sketches have no use for Pillow
    from PIL import Image

SIDE = 32
BOX = 4  # Image.Resampling.BOX
# Large pictures are first reduced by whole numbers, which is quicker, to this many times SIDE.
GAP = 8.0

Sketches = NDArray[np.uint8]
"""`(n, SIDE, SIDE)` luminance, 0 to 255."""


def sketch(image: "Image.Image") -> bytes:
    """`SIDE * SIDE` bytes of luminance, row by row, of an upright RGB picture."""
    return image.convert("L").resize((SIDE, SIDE), BOX, reducing_gap=GAP).tobytes()


def read_sketches(
    catalogue: Catalogue, within: Sequence[int] | None = None
) -> tuple[NDArray[np.int64], Sketches]:
    """(ids `(n,)`, sketches) of the contents that have a file, or of those of `within` that do;
    larger pictures first.

    Contents that an older clipdex indexed have none until they are indexed again.
    """
    chosen = "" if within is None else f"AND id IN ({', '.join(map(str, map(int, within)))})"
    rows = catalogue.connection.execute(
        "SELECT id, sketch FROM contents WHERE paths > 0 AND sketch IS NOT NULL "
        f"{chosen} ORDER BY width * height DESC, id"
    ).fetchall()
    ids = np.array([row[0] for row in rows], dtype=np.int64)
    packed = np.frombuffer(b"".join(row[1] for row in rows), dtype=np.uint8)
    return ids, packed.reshape(len(rows), SIDE, SIDE)
