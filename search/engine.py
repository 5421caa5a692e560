"""One collection, open for questions."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Self, Unpack

import numpy as np

from indexer.encoder import Embeddings, Encoder
from indexer.errors import CollectionNotFound, FingerprintMismatch, QueryError
from indexer.load import find_bundle, load_encoder, require_fingerprint
from indexer.store.catalog import Catalog
from indexer.store.codec import Ids
from indexer.store.collection import Collection, locate
from indexer.store.database import translated
from indexer.store.protocol import StoreReader
from indexer.store.records import Model
from search.labels.concepts import expand_concepts
from search.ranking.query import Query
from search.ranking.ranking import Options, Ranking, check, passing_first
from search.ranking.relevance import Estimator

from .hits import Hit
from .status import Status

if TYPE_CHECKING:  # FAISS is loaded while the first query is being encoded
    from indexer.store.vector_index import VectorIndex


def _load(model: Model) -> Encoder:
    # One query is answered before a GPU has been found and started.
    return load_encoder(model.name, fingerprint=model.fingerprint, device="cpu")


class Engine:
    """Text, image and mixed search over one collection.

        with Engine.open("./photos.clipdex") as engine:
            hits = engine.search("a dog on a beach", k=5)

    The encoder is loaded by the first question that needs it. What is committed meanwhile is found
    by the next question; a change of the collection's model is followed.
    """

    def __init__(
        self,
        collection: Collection,
        catalog: StoreReader,
        model: Model,
        encoder: Encoder | None,
        load: Callable[[Model], Encoder] = _load,
        staleness: float = 0.0,
    ) -> None:
        self.collection = collection
        self.catalog = catalog
        self.model = model
        self._encoder = encoder
        # A given encoder answers for its own model, whatever the collection changes to.
        self._follows = encoder is None
        self._load = load
        self._staleness = staleness
        self._index: VectorIndex | None = None
        self._opened = 0.0
        self._estimator: tuple[Estimator | None] | None = None

    @classmethod
    def open(
        cls,
        collection: Path | str | None = None,
        *,
        encoder: Encoder | None = None,
        load: Callable[[Model], Encoder] = _load,
        staleness: float = 0.0,
    ) -> Self:
        """Open a collection: the one named, or found as `indexer.collection.locate` does.

        encoder: instead of the model that the collection was indexed with; for the same
        fingerprint. load: makes the encoder of the collection's model, for engines that share one.
        staleness: seconds that answers may lag behind what an index run commits, which spares a
        busy engine from taking in every commit by itself.
        Raises CollectionNotFound and its relatives, FingerprintMismatch, ModelError.
        """
        place = locate(Path(collection) if collection is not None else None)
        catalog = Catalog.open(place)
        try:
            with translated(str(place.folder)):
                model = catalog.active_model()
            if model is None:
                raise CollectionNotFound(
                    f"the collection at {place.folder} is empty: run `clipdex index FOLDER` first"
                )
            require_fingerprint(model, encoder or find_bundle(model.name, model.fingerprint))
        except BaseException:
            catalog.close()
            raise
        return cls(place, catalog, model, encoder, load, staleness)

    def close(self) -> None:
        """Close the catalog and let go of the mapped vectors."""
        self._index = None
        self.catalog.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def encoder(self) -> Encoder:
        """The model that the collection's vectors are from."""
        if self._encoder is None:
            self._encoder = self._load(self.model)
        return self._encoder

    def search(
        self,
        text: str | None = None,
        *,
        images: Sequence[Path | str] = (),
        without: Sequence[str] = (),
        **options: Unpack[Options],
    ) -> list[Hit]:
        """The best images for a text, for images, or for their sum, best first.

        without: texts whose vectors are taken off the query. options: see `Options`.
        Raises QueryError for an empty or impossible query, ImageError for an unreadable image.
        """
        with self.question():
            check(options)
            query = Query(text, [Path(image) for image in images], without)
            query = expand_concepts(query, self.collection.folder, self.model)
            return self.rank(self._vector(query), kind=query.kind, **options)

    def similar(self, image: Path | str | int, **options: Unpack[Options]) -> list[Hit]:
        """The images most like one, which is itself left out.

        image: a file, in the collection or not, or the id of a hit. options: see `Options`.
        """
        with self.question():
            check(options)
            vector, own = self.vector_of(image)
            return self.rank(vector, kind="image", leave_out=own, **options)

    def rank(
        self,
        vector: Embeddings,
        *,
        kind: str = "text",
        leave_out: Sequence[int] = (),
        **options: Unpack[Options],
    ) -> list[Hit]:
        """The best for a unit vector `(dim,)`, without the contents `leave_out`.

        kind: what the vector stands for, "text", "image" or "mixed". options: see `Options`.
        """
        return self._ranking(vector, kind, leave_out, self._passing(options)).page(options)

    def answer(
        self,
        vector: Embeddings,
        fingerprint: str,
        *,
        kind: str = "text",
        leave_out: Sequence[int] = (),
        **options: Unpack[Options],
    ) -> tuple[list[Hit], int]:
        """As `rank`, and how many images pass the filters, whatever their relevance.

        fingerprint: of the model that made the vector. Raises FingerprintMismatch where another
        model answers by now.
        """
        with self.question():
            check(options)
            if fingerprint != self.model.fingerprint:
                raise FingerprintMismatch(
                    f"the collection has changed to the model {self.model.name}: ask again"
                )
            among = self._passing(options)
            hits = self._ranking(vector, kind, leave_out, among).page(options)
            return hits, self._count(among) - len(leave_out)

    def newest(self, **options: Unpack[Options]) -> tuple[list[Hit], int]:
        """The images taken last, without scores, and how many images pass the filters."""
        from search.ranking.newest import newest

        with self.question():
            check(options)
            among = self._passing(options)
            hits = newest(self.catalog, among, options.get("k", 10), options.get("offset", 0))
            return passing_first(self.catalog, options, hits), self._count(among)

    def _ranking(
        self, vector: Embeddings, kind: str, leave_out: Sequence[int], among: Ids | None
    ) -> Ranking:
        metadata = self.catalog, self.index, self.model, self.estimator
        return Ranking(*metadata, vector, kind, leave_out, among)

    def _passing(self, options: Options) -> Ids | None:
        """The contents `(n,)` that pass filter and labels; None where there are no conditions."""
        chosen = options.get("filter")
        among = chosen.ids(self.catalog) if chosen else None
        for label, probability in options.get("labels", ()):
            showing = self.images_with_label(label, probability)
            among = showing if among is None else np.intersect1d(among, showing)
        return among

    def _count(self, among: Ids | None) -> int:
        return self.catalog.image_count() if among is None else len(among)

    def images_with_label(self, label: str, probability: float) -> Ids:
        """The contents `(n,)` that show a label with an estimated probability above this."""
        from search.labels.label_filter import images_with_label

        return images_with_label(self, label, probability)

    @property
    def estimator(self) -> Estimator | None:
        """The model's estimate of relevance; None where it carries none."""
        if self._estimator is None:
            model = self._encoder or find_bundle(self.model.name, self.model.fingerprint)
            self._estimator = (Estimator.of(model),)
        return self._estimator[0]

    @property
    def index(self) -> "VectorIndex":
        """The vectors as committed now."""
        from indexer.store.vector_index import VectorIndex

        if self._index is None or (
            time.monotonic() - self._opened >= self._staleness
            and self._index.generation != self.catalog.generation()
        ):
            self._index = VectorIndex.open(
                self.collection, self.catalog, self.model.fingerprint, self.model.dim
            )
            self._opened = time.monotonic()
        return self._index

    def status(self) -> Status:
        """What the collection holds."""
        with self.question():
            return Status.of(self.collection, self.catalog, self.model)

    def stored(self, digest: bytes) -> tuple[int, Embeddings] | None:
        """(id, vector `(dim,)`) of the content with this hash; None where there is none."""
        content = self.catalog.content_of(digest)
        if content is None:
            return None
        found = self.catalog.embeddings_of(self.model.fingerprint, [content])
        return (content, found[content]) if found else None

    def _vector(self, query: Query) -> Embeddings:
        """The vector `(dim,)` of a query; the index is opened on another core meanwhile."""
        encoder = self.encoder
        if self._index is not None:
            return query.vector(encoder)

        def open_index() -> None:
            with suppress(Exception):  # raised again where the index is asked for
                _ = self.index

        opening = Thread(target=open_index)
        opening.start()
        try:
            return query.vector(encoder)
        finally:
            opening.join()

    def vector_of(self, image: Path | str | int) -> tuple[Embeddings, list[int]]:
        """The vector `(dim,)` of an image, and its content's id where the collection has it."""
        if isinstance(image, int):
            found = self.catalog.embeddings_of(self.model.fingerprint, [image])
            if image not in found:
                raise QueryError(f"no image has the id {image} in this collection")
            return found[image], [image]
        from indexer.images.decode import Limits
        from indexer.store.content_hash import digest
        from search.ranking.image_query import encode_bytes, read_image

        path, limits = Path(image), Limits()
        data = read_image(path, limits)
        own = self.stored(digest(data))
        if own is not None:
            return own[1], [own[0]]
        return encode_bytes(self.encoder, data, path, limits)[0], []

    @contextmanager
    def question(self) -> Iterator[None]:
        """A block of reads that is answered by one model: the one that is active as it begins."""
        with translated(str(self.collection.folder)):
            active = self.catalog.active_model() if self._follows else None
            if active is not None and active.fingerprint != self.model.fingerprint:
                self.model, self._encoder = active, None
                self._index = self._estimator = None
            yield
