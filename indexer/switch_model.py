"""Changing a collection's model: the new vectors are filled in beside those that answer searches.

All pictures of the collection have to be encoded, also those that a run's paths do not cover. Until
the run has gone through, the old model stays the active one; a run that was cut off goes on where
it stopped, since whatever has a vector of the new model is not read again.
"""

import os

from indexer.store.catalog import Catalogue, Model
from indexer.store.scope import Scope

from .errors import RootUnavailable


def claim(catalogue: Catalogue, model: Model) -> bool:
    """Enter the model of a run: active at once where there was none; else, if it is not the active
    one, pending. Returns whether it is pending.
    """
    active = catalogue.active_model()
    with catalogue.transaction():
        if active is None:
            catalogue.activate(model)
        elif active.fingerprint != model.fingerprint:
            catalogue.prepare(model)
            return True
    return False


def include_rest(catalogue: Catalogue, scopes: list[Scope]) -> None:
    """Add to `seen` the files that are outside the scopes, as the catalogue knows them.

    A file that has vanished is left out, so it is neither read nor counted as failed; its picture
    will not be found by the new model. Raises RootUnavailable where a whole folder is not there.
    """
    connection = catalogue.connection
    for root, folder in catalogue.roots().items():
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
                f"changing the model needs every picture of the collection, and those of {shown} "
                "are not there (an unplugged drive?). Nothing was changed; plug it in, or run "
                "`clipdex forget` on it"
            )
        connection.executemany(
            "INSERT INTO seen (root, path, size, mtime_ns) VALUES (?, ?, ?, ?)", there
        )


def drop_former(catalogue: Catalogue) -> list[str]:
    """Delete the vectors of models that are neither active nor pending; returns their fingerprints.

    Call inside a transaction.
    """
    former = [
        row[0]
        for row in catalogue.connection.execute(
            "SELECT fingerprint FROM models WHERE NOT active AND NOT pending"
        )
    ]
    for table in ("embeddings", "vector_files", "models"):
        catalogue.connection.executemany(
            f"DELETE FROM {table} WHERE fingerprint = ?", [(one,) for one in former]
        )
    return former
