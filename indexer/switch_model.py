"""Changing a collection's model: new vectors are added beside those that answer searches.

All images of the collection have to be encoded, including those that a run's paths do not cover.
The old model stays active until the run is complete. An interrupted run continues where it
stopped, since images that have a vector of the new model are not read again.
"""

import os

from indexer.store.paths import is_url
from indexer.store.protocol import StoreWriter
from indexer.store.records import Model, Scope

from .errors import RootUnavailable


def claim(catalog: StoreWriter, model: Model) -> bool:
    """Register the model of a run: as active if there was none, otherwise as pending.

    Returns:
        Whether the model is pending, so that another one answers searches for now.
    """
    active = catalog.active_model()
    with catalog.transaction():
        if active is None:
            catalog.activate(model)
        elif active.fingerprint != model.fingerprint:
            catalog.begin_switch(model)
            return True
    return False


def include_rest(catalog: StoreWriter, scopes: list[Scope]) -> None:
    """Mark the files outside the scopes as seen, as the catalog knows them.

    A file that has vanished is left out, so it is neither read nor counted as failed; the new
    model will not find its image.

    Raises:
        RootUnavailable: A whole folder is missing.
    """
    for root, folder in catalog.roots().items():
        rows = catalog.files_outside(scopes, root)
        there = [
            row
            for row in rows
            # Whether something remote is there is found out when it is read.
            if is_url(folder) or os.path.exists(os.path.join(folder, row.path))
        ]
        if rows and not there:
            shown = folder.decode("utf-8", "replace")
            raise RootUnavailable.unplugged(
                f"changing the model needs every image of the collection, and those of {shown} "
                "are not there"
            )
        catalog.see(there)
