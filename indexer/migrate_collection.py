"""Bringing a collection up to this clipdex's format, without reading a photo."""

from indexer.store.catalog import writing
from indexer.store.collection import Collection, SharedCollection
from indexer.store.database import format_of
from indexer.store.publish_vectors import publish


def migrate(collection: Collection) -> tuple[int, int]:
    """Migrate a collection, after a copy of its catalog, and write its vectors as they are now.

    Returns:
        The number of its format before, and after.

    Raises:
        CollectionNotFound: There is none.
        CollectionError: It cannot be written, is damaged, or is of a newer clipdex.
    """
    if isinstance(collection, SharedCollection):
        before = collection.format
        if not before:
            collection.require()
        with writing(collection, "migrate"):
            return before, collection.format
    collection.require()
    before = format_of(collection.catalog, str(collection.folder))
    with writing(collection, "migrate") as catalog:
        for model, state, _ in catalog.models():
            if state == "active":
                publish(collection, catalog, model.fingerprint, model.dim)
    return before, format_of(collection.catalog, str(collection.folder))
