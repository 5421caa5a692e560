"""Gray thumbnails of the contents."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .catalog import Catalog

if TYPE_CHECKING:  # readers of sketches have no use for Pillow
    pass
from indexer.images.gray_thumbnail import SIDE, Sketches


def read_sketches(
    catalog: Catalog, within: Sequence[int] | None = None
) -> tuple[NDArray[np.int64], Sketches]:
    """(ids `(n,)`, sketches) of the contents that have a file, or of those of `within` that do;
    larger images first.

    Contents that an older clipdex indexed have none until they are indexed again.
    """
    chosen = "" if within is None else f"AND id IN ({', '.join(map(str, map(int, within)))})"
    rows = catalog.connection.execute(
        "SELECT id, sketch FROM contents WHERE paths > 0 AND sketch IS NOT NULL "
        f"{chosen} ORDER BY width * height DESC, id"
    ).fetchall()
    ids = np.array([row[0] for row in rows], dtype=np.int64)
    packed = np.frombuffer(b"".join(row[1] for row in rows), dtype=np.uint8)
    return ids, packed.reshape(len(rows), SIDE, SIDE)
