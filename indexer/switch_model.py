"""Changing a collection's model: the new vectors are filled in beside those that answer searches.

All images of the collection have to be encoded, also those that a run's paths do not cover. Until
the run has gone through, the old model stays the active one; a run that was cut off goes on where
it stopped, since whatever has a vector of the new model is not read again.
"""

import os

from indexer.store.catalog import Catalog, Model
from indexer.store.scope import Scope

from .errors import RootUnavailable


def claim(catalog: Catalog, model: Model) -> bool:
    """Enter the model of a run: active at once where there was none; else, if it is not the active
    one, pending. Returns whether it is pending.
    """
    active = catalog.active_model()
    with catalog.transaction():
        if active is None:
            catalog.activate(model)
        elif active.fingerprint != model.fingerprint:
            catalog.prepare(model)
            return True
    return False


def include_rest(catalog: Catalog, scopes: list[Scope]) -> None:
    """Add to `seen` the files that are outside the scopes, as the catalog knows them.

    A file that has vanished is left out, so it is neither read nor counted as failed; its image
    will not be found by the new model. Raises RootUnavailable where a whole folder is not there.
    """
    connection = catalog.connection
    for root, folder in catalog.roots().items():
        rows = connection.execute(
            "SELECT path, size, mtime_ns FROM files WHERE root = ? AND content IS NOT NULL "
            f"AND NOT ({' OR '.join('(' + scope.condition[0] + ')' for scope in scopes)})",
            (root, *(value for scope in scopes for value in scope.condition[1])),
        ).fetchall()
        there = [
            (root, path, size, mtime_ns)
            for path, size, mtime_ns in rows
            if os.path.exists(os.path.join(folder, path))
        ]
        if rows and not there:
            shown = folder.decode("utf-8", "replace")
            raise RootUnavailable(
                f"changing the model needs every image of the collection, and those of {shown} "
                "are not there (an unplugged drive?). Nothing was changed; plug it in, or run "
                "`clipdex forget` on it"
            )
        connection.executemany(
            "INSERT INTO seen (root, path, size, mtime_ns) VALUES (?, ?, ?, ?)", there
        )


def drop_former(catalog: Catalog) -> list[str]:
    """Delete the vectors of models that are neither active nor pending; returns their fingerprints.

    Call inside a transaction.
    """
    former = [
        row[0]
        for row in catalog.connection.execute(
            "SELECT fingerprint FROM models WHERE NOT active AND NOT pending"
        )
    ]
    for table in ("embeddings", "vector_files", "models"):
        catalog.connection.executemany(
            f"DELETE FROM {table} WHERE fingerprint = ?", [(one,) for one in former]
        )
    return former
