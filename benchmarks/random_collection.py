"""Makes collections of any size, with random vectors written directly into the catalog."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexer.bundles.bundle import Bundle
from indexer.store.catalog import writing
from indexer.store.codec import Halves, packed
from indexer.store.collection import Collection
from indexer.store.fp16_index import ROWS
from indexer.store.publish_vectors import publish
from indexer.store.records import Model
from indexer.store.rows import FileRow, NewContent
from indexer.store.tables.contents import THUMBNAIL_SIDE


def random_vectors(count: int, dim: int) -> NDArray[np.float32]:
    """`(count, dim)` unit vectors, evenly over all directions; the first are the same for any
    count.
    """
    random = np.random.default_rng(0)
    vectors = np.empty((count, dim), dtype=np.float32)
    for start in range(0, count, 10_000):
        part = random.standard_normal((min(10_000, count - start), dim))
        vectors[start : start + 10_000] = part / np.linalg.norm(part, axis=1, keepdims=True)
    return vectors


def make_collection(
    folder: Path,
    bundle: Bundle,
    vectors: NDArray[np.float32] | Halves,
    *,
    root: str = "/photos",
    names: Sequence[str] | None = None,
    taken: Sequence[int] | None = None,
) -> Path:
    """A collection at `folder` of `vectors` `(n, dim)`, which the model takes for its own.

    root, names: the files that it says it indexed, one changed in each second since 1970; there
    are none. taken: when the photos were taken, in seconds since 1970. Each image has a gray
    thumbnail of no meaning, so that the catalog is as large as one of photos.
    """
    collection = Collection(folder)
    collection.create()
    random = np.random.default_rng(1)
    with writing(collection, "benchmark") as catalog:
        with catalog.transaction():
            catalog.activate(Model(bundle.fingerprint, bundle.name, bundle.dim))
            number_of_root = catalog.add_root(root.encode())
            generation = catalog.next_generation()
            rows = chain.from_iterable(
                packed(vectors[start : start + ROWS]) for start in range(0, len(vectors), ROWS)
            )
            for number, vector in enumerate(rows, start=1):
                name = names[number - 1] if names else f"{number:09}.jpg"
                thumbnail = random.bytes(THUMBNAIL_SIDE**2)
                moment = taken[number - 1] if taken is not None else None
                new = NewContent(b"%016d" % number, 1, 1, "", moment, None, thumbnail, vector)
                content = catalog.put_content(new, bundle.fingerprint, generation)
                catalog.put_file(FileRow(number_of_root, name.encode(), 0, number * 10**9, content))
        publish(collection, catalog, bundle.fingerprint, bundle.dim)
    return folder
