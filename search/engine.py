"""One collection, open for searching."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Self

import numpy as np

from indexer.encoder import Embeddings, Encoder
from indexer.errors import (
    CollectionFormatError,
    CollectionNotFound,
    FingerprintMismatch,
    ImageNotFound,
    QueryError,
)
from indexer.load import find_bundle, load_encoder, require_fingerprint
from indexer.store.catalog import open_reader
from indexer.store.clock import BELIEVED_SECONDS, latest_believable
from indexer.store.codec import Ids
from indexer.store.collection import Collection, SharedCollection, locate
from indexer.store.database import changed, until_unchanged
from indexer.store.paths import existing, is_remote
from indexer.store.protocol import StoreReader
from indexer.store.records import MAX_INTEGER, Model
from search.labels.concepts import expand_concepts
from search.ranking.query import EncodedQuery, Query
from search.ranking.ranking import Ranking, passing_first
from search.ranking.relevance import Estimator

from .hit_list import HitList
from .hits import Results
from .language import first_foreign, knows
from .request import SearchRequest
from .tags import HIDDEN

if TYPE_CHECKING:
    from indexer.store.protocol import VectorSearch
    from search.filters.filter import Filter
    from search.ranking.timeline import Month

    from .status import Status

# Filters whose images a busy engine remembers.
MAX_FILTERS = 4


def _load(model: Model) -> Encoder:
    # One query is answered before a GPU has been found and started.
    return load_encoder(model.name, fingerprint=model.fingerprint, device="cpu")


class Engine:
    """Text, image and mixed search over one collection.

        with Engine.open("./photos.clipdex") as engine:
            hits = engine.search("a dog on a beach", k=5)

    The encoder is loaded by the first search that needs it. What an index run commits is found by
    the next search, and a change of the collection's model is followed.
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
        self._index: VectorSearch | None = None
        self._opened = 0.0
        self._estimator: tuple[Estimator | None] | None = None
        self._passed: list[tuple[object, Filter, Ids]] = []

    @classmethod
    def open(
        cls,
        collection: Collection | Path | str | None = None,
        *,
        encoder: Encoder | None = None,
        load: Callable[[Model], Encoder] = _load,
        staleness: float = 0.0,
    ) -> Self:
        """Open a collection.

        Args:
            collection: It, its folder or its URL; found as `indexer.store.collection.locate` does
                when None.
            encoder: Used instead of the collection's own model; it must have the same fingerprint.
            load: Loads the encoder of the collection's model; lets several engines share one.
            staleness: Seconds that results may lag behind what an index run commits, which spares
                a busy engine from reading in every commit.

        Raises:
            CollectionNotFound: There is no collection, or it is empty.
            CollectionError: The collection cannot be opened.
            FingerprintMismatch: The encoder is another model's.
            ModelError: The collection's model is not on this machine.
        """
        place = collection if isinstance(collection, Collection) else locate(collection)
        catalog = open_reader(place)
        try:
            model = catalog.active_model()
            if model is None:
                raise CollectionNotFound(
                    f"the collection at {place.shown} is empty: run `clipdex index FOLDER` first"
                )
            require_fingerprint(model, encoder or find_bundle(model.name, model.fingerprint))
        except BaseException:
            catalog.close()
            raise
        return cls(place, catalog, model, encoder, load, staleness)

    def close(self) -> None:
        """Close the catalog and release the mapped vectors."""
        self._index = None
        self.catalog.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def encoder(self) -> Encoder:
        """The encoder of the collection's model, loaded when it is first asked for."""
        if self._encoder is None:
            self._encoder = self._load(self.model)
        return self._encoder

    def search(
        self,
        text: str | None = None,
        *,
        images: "Path | str | bytes | int | Sequence[Path | str | bytes | int]" = (),
        without: Sequence[str] = (),
        unlike: "Path | str | bytes | int | Sequence[Path | str | bytes | int]" = (),
        text_weight: float = 1.0,
        image_weight: float = 1.0,
        k: int = 10,
        offset: int = 0,
        min_relevance: float = 0.0,
        collapse: bool = False,
        filter: "Filter | None" = None,
        labels: Sequence[tuple[str, float]] = (),
        names: bool = False,
    ) -> HitList:
        """Find the images that fit a text, images, or both best.

        Args:
            text: What the images show.
            images: What the images look like: files, the bytes of files, or ids of hits; one or
                several. An image that is named by its id is left out of the results.
            without: Texts whose vectors are subtracted from the query's.
            unlike: Images, as `images`, that the results should not be like.
            text_weight: Weight of the text in the sum.
            image_weight: Weight of each image in the sum.
            k: Number of hits.
            offset: Number of hits to skip.
            min_relevance: Minimum estimated probability of a match, in [0, 1].
            collapse: Show near-duplicates as one hit; k and offset then count groups.
            filter: Which images may be found.
            labels: (label, p) pairs, each of which an image must show with an estimated
                probability above p.
            names: Find, too, the images whose files, folders, tags or cameras the text names.

        Returns:
            The hits, best first. With nothing to look for but a filter or labels, the images that
            pass, as `newest` returns them.

        Raises:
            QueryError: The query is empty, its parts cancel out, or a number is out of its range.
            ImageError: An image cannot be read.
        """
        return HitList(
            self.results(
                SearchRequest(
                    text,
                    images=images,  # type: ignore[arg-type]  # the request takes one, and texts for paths
                    without=without,
                    unlike=unlike,  # type: ignore[arg-type]
                    text_weight=text_weight,
                    image_weight=image_weight,
                    k=k,
                    offset=offset,
                    min_relevance=min_relevance,
                    collapse=collapse,
                    filter=filter,
                    labels=labels,
                    names=names,
                )
            ).hits
        )

    @until_unchanged
    def results(self, request: SearchRequest) -> Results:
        """Answer a request; see `search`."""
        if request.lists:
            return self.newest(
                k=request.k,
                offset=request.offset,
                collapse=request.collapse,
                filter=request.filter,
                labels=request.labels,
            )
        with self.question():
            query = expand_concepts(Query.of(request), self.collection.folder, self.model)
            encoded = self._encode(query)
            vector = encoded.vector(self.vectors_of(request.ids))
            ranking = self._ranking(vector, encoded.query.kind, request.ids, request)
            return self._with_language(ranking.results(request), encoded.query)

    def similar(
        self,
        image: Path | str | bytes | int,
        *,
        k: int = 10,
        offset: int = 0,
        min_relevance: float = 0.0,
        collapse: bool = False,
        filter: "Filter | None" = None,
        labels: Sequence[tuple[str, float]] = (),
    ) -> HitList:
        """Find the images most like one, which is left out of the results.

        Args:
            image: A file or URL, in the collection or not, the bytes of one, or the id of a hit.
            k: Number of hits.
            offset: Number of hits to skip.
            min_relevance: Minimum estimated probability of a match, in [0, 1].
            collapse: Show near-duplicates as one hit; k and offset then count groups.
            filter: Which images may be found.
            labels: (label, p) pairs, each of which an image must show with an estimated
                probability above p.

        Returns:
            The hits, best first.

        Raises:
            QueryError: No image has this id, or a number is out of its range.
            ImageError: The file cannot be read.
        """
        request = SearchRequest(
            k=k,
            offset=offset,
            min_relevance=min_relevance,
            collapse=collapse,
            filter=filter,
            labels=labels,
        )
        return HitList(self.similar_results(image, request).hits)

    @until_unchanged
    def similar_results(self, image: Path | str | bytes | int, request: SearchRequest) -> Results:
        """Find the images most like one, on the conditions of a request; see `similar`."""
        given = self.read(image)
        with self.question():
            vector, own = self.vector_of(given)
            return self._ranking(vector, "image", own, request).results(request)

    @until_unchanged
    def copies_of(self, image: Path | str | bytes | int) -> list[bytes]:
        """Return the paths of the files in the collection with exactly the bytes of an image.

        Args:
            image: As `vector_of` takes it.

        Raises:
            ImageError: The file cannot be read.
        """
        from indexer.store.content_hash import digest

        image = self.read(image)
        with self.question():
            content = image if isinstance(image, int) else self.catalog.content_of(digest(image))
            there = self.catalog.contents([] if content is None else [content])
        return [one.paths[at] for one in there.values() for at in existing(one.paths)]

    @until_unchanged
    def rank(
        self,
        vector: Embeddings,
        *,
        kind: str = "text",
        k: int = 10,
        offset: int = 0,
        min_relevance: float = 0.0,
        collapse: bool = False,
        filter: "Filter | None" = None,
        labels: Sequence[tuple[str, float]] = (),
    ) -> HitList:
        """Find the images nearest to a vector of the collection's model.

        Args:
            vector: `(dim,)`, of unit norm.
            kind: What the vector stands for: "text", "image" or "mixed".
            k: Number of hits.
            offset: Number of hits to skip.
            min_relevance: Minimum estimated probability of a match, in [0, 1].
            collapse: Show near-duplicates as one hit; k and offset then count groups.
            filter: Which images may be found.
            labels: (label, p) pairs, each of which an image must show with an estimated
                probability above p.

        Returns:
            The hits, best first.
        """
        request = SearchRequest(
            k=k,
            offset=offset,
            min_relevance=min_relevance,
            collapse=collapse,
            filter=filter,
            labels=labels,
        )
        with self.question():
            return HitList(self._ranking(vector, kind, (), request).results(request).hits)

    @until_unchanged
    def answer(self, encoded: EncodedQuery) -> Results:
        """Answer a query that was encoded elsewhere, such as together with those of other clients.

        Raises:
            FingerprintMismatch: The collection has changed to another model since.
            ImageNotFound: No image has an id that the request names.
        """
        request = encoded.query.request
        with self.question():
            if encoded.fingerprint != self.model.fingerprint:
                raise FingerprintMismatch(
                    f"the collection has changed to the model {self.model.name}: ask again"
                )
            vector = encoded.vector(self.vectors_of(request.ids))
            ranking = self._ranking(vector, encoded.query.kind, request.ids, request)
            return self._with_language(ranking.results(request), encoded.query)

    def look_ahead(self, queries: Sequence[EncodedQuery]) -> None:
        """Estimate at once what matches queries that are answered next; no answer depends on it.

        Args:
            queries: Of texts alone, encoded elsewhere.
        """
        same = [one for one in queries if one.fingerprint == self.model.fingerprint]
        if self._estimator is None or self._estimator[0] is None or len(same) < 2:
            return
        none = np.zeros((0, self.model.dim), dtype=np.float32)
        with suppress(QueryError):  # raised again where it is answered
            self._estimator[0].describe_ahead(np.stack([one.vector(none) for one in same]))

    @until_unchanged
    def newest(
        self,
        *,
        k: int = 10,
        offset: int = 0,
        collapse: bool = False,
        filter: "Filter | None" = None,
        labels: Sequence[tuple[str, float]] = (),
    ) -> Results:
        """Return the images taken last.

        Args:
            k: Number of hits.
            offset: Number of hits to skip.
            collapse: Show near-duplicates as one hit; k and offset then count groups.
            filter: Which images may be returned.
            labels: (label, p) pairs, each of which an image must show with an estimated
                probability above p.

        Returns:
            The hits are the newest first, and without scores.
        """
        from search.ranking.newest import newest

        request = SearchRequest(k=k, offset=offset, collapse=collapse, filter=filter, labels=labels)
        with self.question():
            passing = self._passing(request.filter, request.labels)
            hidden = self.hidden(request.filter)
            hits = newest(
                self.catalog,
                passing,
                request.k,
                request.offset,
                without=hidden,
                collapsed=request.collapse,
            )
            hits = passing_first(self.catalog, request.filter, hits)
            return Results(hits, self._count(passing, hidden))

    @until_unchanged
    def timeline(
        self, *, filter: "Filter | None" = None, labels: Sequence[tuple[str, float]] = ()
    ) -> "list[Month]":
        """Return how many images were taken in each month, newest first.

        Args:
            filter: Which images count.
            labels: (label, p) pairs, each of which an image must show with an estimated
                probability above p.
        """
        from search.ranking.timeline import timeline

        with self.question():
            passing = self._passing(filter, labels)
            return timeline(self.catalog, passing, self.hidden(filter))

    def _with_language(self, results: Results, query: Query) -> Results:
        """Say with the results if the query is in a language that the model does not know."""
        foreign = first_foreign(query.texts)
        if foreign is None:
            return results
        model = self._encoder or find_bundle(self.model.name, self.model.fingerprint)
        return results if knows(model, foreign) else replace(results, foreign_language=foreign)

    def _ranking(
        self, vector: Embeddings, kind: str, leave_out: Sequence[int], request: SearchRequest
    ) -> Ranking:
        passing = self._passing(request.filter, request.labels)
        hidden = self.hidden(request.filter)
        ranking = Ranking(
            self.catalog,
            self.index,
            self.model,
            self.estimator,
            vector,
            kind=kind,
            leave_out=[*leave_out, *hidden.tolist()],
            among=passing,
        )
        if not request.names or not request.text or request.min_relevance:
            return ranking
        from search.ranking.fused import FusedRanking  # few searches ask for names

        return FusedRanking(**vars(ranking), text=request.text)

    def hidden(self, chosen: "Filter | None" = None) -> Ids:
        """Return the ids `(n,)`, ascending, of the images that the user hides.

        Args:
            chosen: The conditions of a search; where they ask for hidden images, none is.
        """
        if chosen and HIDDEN in chosen.tags:
            return np.empty(0, dtype=np.int64)
        return self.catalog.contents_with_own_label(HIDDEN)

    def _passing(self, chosen: "Filter | None", labels: Sequence[tuple[str, float]]) -> Ids | None:
        """Return the ids `(n,)` that pass filter and labels, or None without conditions."""
        among = self._filtered(chosen) if chosen else None
        for label, probability in labels:
            matching = self.images_with_label(label, probability)
            among = matching if among is None else np.intersect1d(among, matching)
        return among

    def _filtered(self, chosen: "Filter") -> Ids:
        """Return the ids that pass a filter; a busy engine remembers those of the last filters."""
        state = self.catalog.state() if self._staleness and not len(chosen.among) else None
        if state is None:
            return chosen.ids(self.catalog)
        key = state, latest_believable() // BELIEVED_SECONDS
        kept = [one for one in self._passed if one[0] == key]
        for _, known, ids in kept:
            if known == chosen:
                return ids
        ids = chosen.ids(self.catalog)
        self._passed = [(key, chosen, ids), *kept][:MAX_FILTERS]
        return ids

    def _count(self, passing: Ids | None, hidden: Ids) -> int:
        """Return how many of the images that pass have a file and are not hidden; None for all."""
        if passing is None:
            return self.catalog.image_count() - len(hidden)
        # A label is looked for in all vectors, also of images whose files have vanished.
        gone = np.array(self.catalog.without_files(), dtype=np.int64)
        return len(np.setdiff1d(passing, np.concatenate([gone, hidden])))

    def images_with_label(self, label: str, probability: float) -> Ids:
        """Return the ids `(n,)` of the images that show a label with a probability above this."""
        from search.labels.label_filter import images_with_label

        return images_with_label(self, label, probability)

    @property
    def estimator(self) -> Estimator | None:
        """The model's estimate of relevance, or None if it has none."""
        if self._estimator is None:
            model = self._encoder or find_bundle(self.model.name, self.model.fingerprint)
            self._estimator = (Estimator.of(model, lambda count: self.index.earliest(count)),)
        return self._estimator[0]

    @property
    def index(self) -> "VectorSearch":
        """The vectors as they are committed now."""
        behind = self._index is None or not self._index.is_current
        if not behind and time.monotonic() - self._opened >= self._staleness:
            behind = self._index is not None and self._index.generation != self.catalog.generation()
        if self._index is None or behind:
            self._index = self._open_index()
            self._opened = time.monotonic()
            if self._estimator and self._estimator[0] and self._estimator[0].photos_are_own:
                self._estimator = None  # there may be other photos
        return self._index

    def _open_index(self) -> "VectorSearch":
        if isinstance(self.collection, SharedCollection):
            return self.collection.vectors_of(self.catalog, self.model)
        from indexer.store.vector_index import VectorIndex  # FAISS: beside the first encoding

        return VectorIndex.open(
            self.collection, self.catalog, self.model.fingerprint, self.model.dim
        )

    @until_unchanged
    def status(self) -> "Status":
        """Return what the collection holds."""
        with self.question():
            from .status import Status

            return Status.of(self.collection, self.catalog, self.model)

    def check_vectors(self) -> None:
        """Look at the vector file, and have it written again if it is damaged."""
        from indexer.store.publish_vectors import published_file

        _, damage = published_file(
            self.collection, self.catalog, self.model.fingerprint, self.model.dim
        )
        if damage is not None:
            _ = self.index

    def stored(self, digest: bytes) -> tuple[int, Embeddings] | None:
        """Return the id and the vector `(dim,)` of the content with this hash, if there is one."""
        content = self.catalog.content_of(digest)
        if content is None:
            return None
        found = self.catalog.embeddings_of(self.model.fingerprint, [content])
        return (content, found[content]) if found else None

    def vectors_of(self, ids: Sequence[int]) -> Embeddings:
        """Return the vectors `(n, dim)` of images, by their ids.

        Raises:
            ImageNotFound: No image has one of the ids, or none has it any more.
        """
        if not ids:
            return np.zeros((0, self.model.dim), dtype=np.float32)
        # SQLite's ids have 64 bits; nothing has a larger one.
        possible = [number for number in ids if 0 < number <= MAX_INTEGER]
        found = self.catalog.embeddings_of(self.model.fingerprint, possible)
        there = self.catalog.contents(possible)  # the vector outlives the files until it is pruned
        for number in ids:
            if number not in found or number not in there:
                raise ImageNotFound(f"no image has the id {number}")
        return np.stack([found[number] for number in ids])

    def _encode(self, query: Query) -> EncodedQuery:
        """Encode a query, opening the index on another core meanwhile."""
        if self._index is not None:
            return query.encode(self.encoder)
        from indexer.store.vector_file import check_ahead

        def check_file() -> None:
            with suppress(Exception):
                check_ahead(self.collection, self.catalog, self.model)

        def open_index() -> None:
            with suppress(Exception):  # raised again where the index is asked for
                _ = self.index

        # The file is checked while the encoder and FAISS are loaded.
        checking, opening = Thread(target=check_file), Thread(target=open_index)
        checking.start()
        try:
            encoder = self.encoder
            opening.start()
            try:
                return query.encode(encoder)
            finally:
                opening.join()
        finally:
            checking.join()

    @until_unchanged
    def read(self, image: Path | str | bytes | int) -> bytes | int:
        """Read an image once, for several questions about it.

        Args:
            image: As `vector_of` takes it.

        Returns:
            Its bytes; the id of what the collection knows at a URL, which is not contacted then;
            bytes and an id as they are.

        Raises:
            ImageError: The file cannot be read.
        """
        if isinstance(image, bytes | int):
            return image
        with self.question():
            known = self._known_at(image)
        return self._bytes_of(image) if known is None else known

    def _known_at(self, image: Path | str) -> int | None:
        if not is_remote(image):
            return None
        from search.filters.folders import content_at

        return content_at(self.catalog, image)

    def _bytes_of(self, image: Path | str) -> bytes:
        from indexer.images.decode import Limits
        from search.ranking.image_query import named_image

        return named_image(image if is_remote(image) else Path(image), Limits())

    def vector_of(self, image: Path | str | bytes | int) -> tuple[Embeddings, list[int]]:
        """Return the vector `(dim,)` of an image, and its id if it is in the collection.

        Args:
            image: A file or URL, in the collection or not, the bytes of one, or the id of a hit.
                A URL that the collection knows is not contacted.

        Raises:
            ImageNotFound: No image has this id.
            ImageError: The file cannot be read.
        """
        if not isinstance(image, bytes | int):
            known = self._known_at(image)
            image = self._bytes_of(image) if known is None else known
        if isinstance(image, int):
            return self.vectors_of([image])[0], [image]
        from indexer.images.decode import Limits
        from indexer.store.content_hash import digest
        from search.ranking.image_query import encode_bytes

        own = self.stored(digest(image))
        if own is not None:
            return own[1], [own[0]]
        return encode_bytes(self.encoder, image, Limits())[0], []

    @contextmanager
    def question(self) -> Iterator[None]:
        """Read within this block: one model answers all of it, the one active as it begins.

        Raises:
            CollectionChanged: The collection was changed meanwhile, and is read in a way that does
                not show it whole; whatever was read in the block does not count.
        """
        if self.catalog.refresh():
            self._index = None
            self._passed = []
        active = self.catalog.active_model() if self._follows else None
        if active is not None and active.fingerprint != self.model.fingerprint:
            self.model, self._encoder = active, None
            self._index = self._estimator = None
        place = self.collection.shown
        try:
            yield
        except CollectionFormatError as exc:
            if self.catalog.is_current:
                raise
            raise changed(place) from exc  # half of it was of one state, half of another
        if not self.catalog.is_current:
            raise changed(place)
