"""What a collection has learnt: heads, concepts and text classifiers, to list and to remove."""

from pathlib import Path

from indexer.errors import ArtifactError
from indexer.store.catalog import write_transaction
from indexer.store.collection import Collection
from indexer.store.tables.labels import head_origin
from search.labels.artifact import names
from search.labels.concepts import concepts_folder
from search.labels.heads import heads_folder
from search.labels.text_classifier import texts_folder

from .artifact_writer import remove


def learned(collection: Collection) -> list[Path]:
    """Return the folders of all heads, concepts and text classifiers, readable or not."""
    place = collection.folder
    folders = (heads_folder(place), concepts_folder(place), texts_folder(place))
    return [folder / name for folder in folders for name in names(folder)]


def find_learned(collection: Collection, name: str) -> list[Path]:
    """Return the folders of what has this name, at least one.

    Raises:
        ArtifactError: There is none.
    """
    found = [folder for folder in learned(collection) if folder.name == name]
    if not found:
        raise ArtifactError(
            f"no head, concept or text classifier is called {name} here: `clipdex adapt list` "
            "lists those there are"
        )
    return found


def remove_learned(collection: Collection, name: str) -> None:
    """Delete what has this name, and the labels that the head gave.

    Raises:
        ArtifactError: There is none.
        CollectionStorageError: It cannot be deleted.
    """
    for folder in find_learned(collection, name):
        remove(folder)
    if collection.exists:
        with write_transaction(collection, "adapt remove") as catalog:
            catalog.remove_labels_of(head_origin(name))
