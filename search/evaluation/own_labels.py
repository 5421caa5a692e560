"""The user's own labels as ground truth."""

from contextlib import closing

from indexer.errors import GroundTruthError
from indexer.store.catalog import open_reader
from indexer.store.collection import Collection
from indexer.store.tables.base import OWN
from search.labels.saved import labels_by_path
from search.tags import RESERVED

from .dataset import GroundTruth, Known


def own_labels(collection: Collection) -> GroundTruth:
    """Return the user's own labels by file, to learn from.

    Those that are reserved say nothing of what an image shows.

    Raises:
        GroundTruthError: There are none.
    """
    with closing(open_reader(collection)) as catalog:
        truth = {
            path: Known(own)
            for path, labels in labels_by_path(catalog, minimum=1.0).items()
            if (
                own := [
                    one.label for one in labels if one.origin == OWN and one.label not in RESERVED
                ]
            )
        }
    if not truth:
        raise GroundTruthError(
            "there is nothing to learn from: name DATA, or label images with `clipdex tags add`"
        )
    return truth
