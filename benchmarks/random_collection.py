"""A collection of any size, its random vectors written straight into the catalog."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexer.bundles.bundle import Bundle
from indexer.images.gray_thumbnail import SIDE
from indexer.store.catalog import Catalog, Model
from indexer.store.collection import Collection
from indexer.store.vector_index import publish


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
    vectors: NDArray[np.float32],
    *,
    root: str = "/photos",
    names: Sequence[str] | None = None,
) -> Path:
    """A collection at `folder` of `vectors` `(n, dim)`, which the model takes for its own.

    root, names: the files that it says it indexed; there are none. Each image has a sketch, of
    no meaning, so that the catalog is as large as one of photos.
    """
    collection = Collection(folder)
    collection.create()
    catalog = Catalog.open(collection, writable=True)
    random = np.random.default_rng(1)
    with catalog.transaction():
        catalog.activate(Model(bundle.fingerprint, bundle.name, bundle.dim))
        execute = catalog.connection.execute
        execute("INSERT INTO roots VALUES (1, ?)", (root.encode(),))
        generation = catalog.next_generation()
        for number, vector in enumerate(vectors, start=1):
            name = names[number - 1] if names else f"{number:09}.jpg"
            execute(
                "INSERT INTO contents (id, hash, width, height, format, sketch) "
                "VALUES (?, ?, 1, 1, '', ?)",
                (number, b"%016d" % number, random.bytes(SIDE * SIDE)),
            )
            execute(
                "INSERT INTO embeddings VALUES (?, ?, ?, ?)",
                (number, bundle.fingerprint, generation, vector.astype("<f2").tobytes()),
            )
            execute(
                "INSERT INTO files VALUES (?, 1, ?, 0, 0, ?, NULL)",
                (number, name.encode(), number),
            )
    publish(collection, catalog, bundle.fingerprint, bundle.dim)
    catalog.close()
    return folder
