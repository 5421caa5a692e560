"""Changing a collection's model: the new vectors are filled in beside those that answer searches.

All images of the collection have to be encoded, also those that a run's paths do not cover. Until
the run has gone through, the old model stays the active one; a run that was cut off goes on where
it stopped, since whatever has a vector of the new model is not read again.
"""

import os

from indexer.store.protocol import StoreWriter
from indexer.store.records import Model, Scope

from .errors import RootUnavailable


def claim(catalog: StoreWriter, model: Model) -> bool:
    """Enter the model of a run: active at once where there was none, else pending.

    Returns:
        Whether it is pending, so not the model that answers searches.
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
    """Note the files outside the scopes as seen, as the catalog knows them.

    A file that has vanished is left out, so it is neither read nor counted as failed; its image
    will not be found by the new model.

    Raises:
        RootUnavailable: A whole folder is not there.
    """
    for root, folder in catalog.roots().items():
        rows = catalog.files_outside(scopes, root)
        there = [row for row in rows if os.path.exists(os.path.join(folder, row.path))]
        if rows and not there:
            shown = folder.decode("utf-8", "replace")
            raise RootUnavailable(
                f"changing the model needs every image of the collection, and those of {shown} "
                "are not there (an unplugged drive?). Nothing was changed; plug it in, or run "
                "`clipdex forget` on it"
            )
        catalog.see(there)
