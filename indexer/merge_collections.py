"""Joins collections of one model, such as those that several machines made of one folder.

An image is there once, whichever collections hold it, and with all of its files. Nothing is read
but the collections. A merge that was interrupted is run again: what is there already stays.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

import numpy as np

from indexer.store.catalog import open_reader, writing
from indexer.store.collection import Collection, SharedCollection
from indexer.store.protocol import StoreReader, StoreWriter
from indexer.store.publish_vectors import publish
from indexer.store.records import Model, inside

from .errors import CollectionError, CollectionNotFound, FingerprintMismatch
from .scan.diff import root_above

# Images and files of one transaction.
STEP = 1000

T = TypeVar("T")


@dataclass(frozen=True)
class MergeReport:
    """What a merge did.

    Attributes:
        images: Different images that were added.
        known: Images that were there before.
        files: Files that were entered, those that could not be read among them.
    """

    images: int
    known: int
    files: int


def merge(
    sources: Sequence[Collection],
    target: Collection,
    on_progress: Callable[[str, int, int], None] = lambda name, done, of: None,
) -> MergeReport:
    """Add collections to another one, which is made if it is missing.

    Args:
        sources: The collections, which are only read.
        target: Where they go.
        on_progress: Called with (a source's folder, images done, of how many).

    Raises:
        FingerprintMismatch: They hold vectors of different models.
        CollectionError: One is missing, damaged, the target itself, or cannot be written.
    """
    models = [_model(source, target) for source in sources]
    for source, model in zip(sources, models, strict=True):
        _require_same(models[0], model, source)
    target.create()
    images = known = files = 0
    with writing(target, "merge") as catalog:
        held = catalog.active_model()
        if held is not None:
            _require_same(held, models[0], sources[0])
        with catalog.transaction():
            catalog.activate(models[0])
        for source in sources:
            with closing(open_reader(source)) as reader, reader.snapshot():
                ids, new = _add_images(catalog, reader, models[0], source, on_progress)
                images, known = images + new, known + len(ids) - new
                files += _add_files(catalog, reader, ids)
                with catalog.transaction():
                    catalog.save_labels(
                        replace(label, content=ids[label.content])
                        for label in reader.saved_labels()
                        if label.content in ids
                    )
                    catalog.add_exclusions(reader.exclusions())
        if isinstance(target, SharedCollection):
            texts = np.empty((0, models[0].dim), np.float32)
            target.publish(catalog, models[0].fingerprint, models[0].dim, texts)
        else:
            publish(target, catalog, models[0].fingerprint, models[0].dim)
    return MergeReport(images, known, files)


def _model(source: Collection, target: Collection) -> Model:
    if source.folder.resolve() == target.folder.resolve():
        raise CollectionError(f"{source.shown} cannot be merged into itself: leave it out")
    with closing(open_reader(source)) as catalog:
        model = catalog.active_model()
    if model is None:
        raise CollectionNotFound(f"{source.shown} holds no images yet: leave it out")
    return model


def _require_same(one: Model, other: Model, source: Collection) -> None:
    if one.fingerprint != other.fingerprint:
        raise FingerprintMismatch(
            f"{source.shown} holds vectors of {other.name} ({other.fingerprint[:12]}), and those "
            f"of {one.name} ({one.fingerprint[:12]}) are merged: `clipdex index --model "
            f"{one.name}` moves it to that model"
        )


def _add_images(
    catalog: StoreWriter,
    reader: StoreReader,
    model: Model,
    source: Collection,
    on_progress: Callable[[str, int, int], None],
) -> tuple[dict[int, int], int]:
    """Return the ids in the target by those in the source, and how many images are new."""
    total, new = reader.count_embeddings(model.fingerprint), 0
    ids: dict[int, int] = {}
    for part in _parts(reader.stored_images(model.fingerprint), STEP):
        with catalog.transaction():
            generation = catalog.next_generation()
            for number, image in part:
                new += not catalog.is_encoded(model.fingerprint, image.digest)
                ids[number] = catalog.put_content(image, model.fingerprint, generation)
        on_progress(source.shown, len(ids), total)
    return ids, new


def _add_files(catalog: StoreWriter, reader: StoreReader, ids: dict[int, int]) -> int:
    """Enter the files of a source; return how many."""
    roots = reader.roots()
    with catalog.transaction():
        # Folders before what lies in them, so that none becomes a root only to be absorbed.
        for folder in sorted(roots.values(), key=len):
            numbers = {path: number for number, path in catalog.roots().items()}
            if root_above(numbers, folder) is None:
                catalog.add_root(folder)
        numbers = {path: number for number, path in catalog.roots().items()}
        catalog.hold_roots(numbers.values())
    places: dict[int, tuple[int, bytes]] = {}
    for number, folder in roots.items():
        above = root_above(numbers, folder)
        assert above is not None
        places[number] = numbers[above], inside(above, folder) or b""
    count = 0
    for part in _parts(reader.stored_files(), STEP):
        with catalog.transaction():
            for row in part:
                root, below = places[row.root]
                content = None if row.content is None else ids.get(row.content)
                if row.content is not None and content is None:
                    continue  # its vector is of another model
                path = os.path.join(below, row.path) if below else row.path
                catalog.put_file(replace(row, root=root, path=path, content=content))
                count += 1
    return count


def _parts(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part
