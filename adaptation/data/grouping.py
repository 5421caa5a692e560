"""Which images belong together: copies, and shots of one scene."""

from collections.abc import Sequence

from adaptation.task import Scenes, Targets
from indexer.encoder import Embeddings

from .near_duplicates import near_duplicates
from .scenes import scenes_of
from .splits import group_pairs


def copies_and_scenes(
    vectors: Embeddings, targets: Targets, paths: Sequence[bytes]
) -> tuple[Scenes, Scenes]:
    """Return which images are copies and which are of one scene, `(n,)` each; decodes the likely.

    Args:
        vectors: `(n, dim)`, of unit length.
        targets: `(n,)`, their classes.
        paths: Of the images.
    """
    copies = group_pairs(len(targets), near_duplicates(vectors, paths))
    return copies, scenes_of(vectors, targets, paths, copies)
