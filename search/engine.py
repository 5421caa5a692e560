"""One collection, open for questions."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from indexer.catalogue import Catalogue, Model
from indexer.collection import Collection, locate
from indexer.database import translated
from indexer.encoder import Embeddings, Encoder
from indexer.errors import CollectionNotFound, QueryError
from indexer.flat import Ids, Scores
from indexer.models import find_bundle, load_encoder, require_fingerprint
from indexer.vectors import VectorIndex

from .hits import Hit
from .query import Query
from .relevance import Estimator
from .status import Status

if TYPE_CHECKING:  # a search without a filter does not pay for it
    from .filters import Filter

# Hits that are looked at at once when only relevant ones are wanted.
RELEVANT_PAGE = 256


class Engine:
    """Text, picture and mixed search over one collection.

        with Engine.open("./photos.clipdex") as engine:
            for hit in engine.search("a dog on a beach", k=5):
                print(hit.score, hit.path)

    The encoder is loaded by the first question that needs it. What an index run commits meanwhile
    is found by the next question; a change of the collection's model is followed.
    """

    def __init__(
        self, collection: Collection, catalogue: Catalogue, model: Model, encoder: Encoder | None
    ) -> None:
        self.collection = collection
        self.catalogue = catalogue
        self.model = model
        self._encoder = encoder
        # A given encoder answers for its own model, whatever the collection changes to.
        self._follows = encoder is None
        self._index: VectorIndex | None = None
        self._estimator: tuple[Estimator | None] | None = None

    @classmethod
    def open(cls, collection: Path | str | None = None, *, encoder: Encoder | None = None) -> Self:
        """Open a collection: the one named, or found as `indexer.collection.locate` does.

        encoder: instead of the model that the collection was indexed with; for the same
        fingerprint. Raises CollectionNotFound and its relatives, FingerprintMismatch, ModelError.
        """
        place = locate(Path(collection) if collection is not None else None)
        catalogue = Catalogue.open(place)
        try:
            with translated(str(place.folder)):
                model = catalogue.active_model()
            if model is None:
                raise CollectionNotFound(
                    f"the collection at {place.folder} is empty: run `clipdex index FOLDER` first"
                )
            require_fingerprint(model, encoder or find_bundle(model.name))
        except BaseException:
            catalogue.close()
            raise
        return cls(place, catalogue, model, encoder)

    def close(self) -> None:
        """Close the catalogue and let go of the mapped vectors."""
        self._index = None
        self.catalogue.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def encoder(self) -> Encoder:
        """The model that the collection's vectors are from."""
        if self._encoder is None:
            self._encoder = load_encoder(self.model.name)
        return self._encoder

    def search(
        self,
        text: str | None = None,
        *,
        images: Sequence[Path | str] = (),
        without: Sequence[str] = (),
        k: int = 10,
        offset: int = 0,
        min_relevance: float = 0.0,
        collapse: bool = False,
        filter: "Filter | None" = None,  # noqa: A002
    ) -> list[Hit]:
        """The k best pictures for a text, for pictures, or for their sum, best first.

        without: texts whose vectors are taken off the query. offset: how many hits to pass over.
        min_relevance: only hits whose estimated P(match) is at least this. filter: which pictures
        may be answered; a hit's first paths are then those of its files that pass. collapse: near-
        duplicates are one hit, the best of them; k and offset then count such groups.
        Raises QueryError for an empty or impossible query, ImageError for an unreadable picture.
        """
        query = Query(text, [Path(image) for image in images], without)
        with self._question():
            _check_range(k, offset, min_relevance)
            return self.rank(
                query.vector(self.encoder),
                kind=query.kind,
                k=k,
                offset=offset,
                min_relevance=min_relevance,
                collapse=collapse,
                filter=filter,
            )

    def similar(
        self,
        image: Path | str | int,
        *,
        k: int = 10,
        min_relevance: float = 0.0,
        collapse: bool = False,
        filter: "Filter | None" = None,  # noqa: A002
    ) -> list[Hit]:
        """The k pictures most like one, which is itself left out.

        image: a file, in the collection or not, or the id of a hit.
        """
        with self._question():
            _check_range(k, 0, min_relevance)
            vector, own = self._vector_of(image)
            return self.rank(
                vector,
                kind="image",
                k=k,
                min_relevance=min_relevance,
                collapse=collapse,
                leave_out=own,
                filter=filter,
            )

    def rank(
        self,
        vector: Embeddings,
        *,
        kind: str = "text",
        k: int,
        offset: int = 0,
        min_relevance: float = 0.0,
        collapse: bool = False,
        leave_out: Sequence[int] = (),
        among: Ids | None = None,
        filter: "Filter | None" = None,  # noqa: A002
    ) -> list[Hit]:
        """The k best for a unit vector `(dim,)`, without the contents `leave_out`.

        kind: what the vector stands for, "text", "image" or "mixed". among: ids of the only
        contents to rank, all where it is None; of these only those that pass the filter.
        """
        if filter:
            passing = filter.ids(self.catalogue)
            among = passing if among is None else np.intersect1d(among, passing)
        if min_relevance and self.estimator is None:
            raise QueryError(
                f"the model {self.model.name} carries no estimate of relevance: search without a "
                "least relevance"
            )
        if collapse:
            from .collapse import collapse as collapsed

            ranked = partial(self.rank, vector, kind=kind, min_relevance=min_relevance)
            ranked = partial(ranked, leave_out=leave_out, among=among, filter=filter)
            return collapsed(self.catalogue, lambda n: ranked(k=n), k=k, offset=offset)
        wanted = k + offset
        count = max(wanted, RELEVANT_PAGE) if min_relevance else wanted
        while True:
            hits = self._best(vector, count, kind, leave_out, among)
            kept = [hit for hit in hits if (hit.relevance or 0.0) >= min_relevance]
            # Relevance falls with the score, if not strictly: half a page without any is the end.
            ended = len(hits) < count or not set(kept).intersection(hits[count // 2 :])
            if len(kept) >= wanted or ended:
                break
            count *= 4
        page = kept[offset:wanted]
        if filter:
            page = self._passing_first(page, filter)
        return [replace(hit, rank=rank) for rank, hit in enumerate(page, start=offset + 1)]

    def _passing_first(self, hits: list[Hit], filter: "Filter") -> list[Hit]:  # noqa: A002
        passing = filter.paths(self.catalogue, [hit.id for hit in hits])
        return [hit.with_first(passing.get(hit.id, set())) for hit in hits]

    def _best(
        self,
        vector: Embeddings,
        count: int,
        kind: str,
        leave_out: Sequence[int],
        among: Ids | None,
    ) -> list[Hit]:
        hidden = [*self.catalogue.without_paths(), *leave_out]
        scores, ids = self.index.search(vector, count, without=hidden, among=among)
        contents = self.catalogue.contents(ids.tolist())
        relevance = self._relevance(vector, kind, scores, ids)
        hits: list[Hit] = []
        for score, number in zip(scores.tolist(), ids.tolist(), strict=True):
            content = contents.get(number)
            if content is not None:
                hits.append(Hit.of(content, score, relevance.get(number)))
        return hits

    def _relevance(
        self, vector: Embeddings, kind: str, scores: Scores, ids: Ids
    ) -> dict[int, float]:
        """P(match) by content id; nothing where the model carries no estimate."""
        if self.estimator is None or not len(ids):
            return {}
        stored = self.catalogue.embeddings_of(self.model.fingerprint, ids.tolist())
        known = np.array([number in stored for number in ids.tolist()])
        ids, scores = ids[known], scores[known]
        vectors = np.stack([stored[number] for number in ids.tolist()])
        estimates = self.estimator.hits(kind, scores, vectors, self.index.spread(vector))
        return dict(zip(ids.tolist(), estimates.round(4).tolist(), strict=True))

    @property
    def estimator(self) -> Estimator | None:
        """The model's estimate of relevance; None where it carries none."""
        if self._estimator is None:
            self._estimator = (Estimator.of(self._encoder or find_bundle(self.model.name)),)
        return self._estimator[0]

    @property
    def index(self) -> VectorIndex:
        """The vectors as committed now."""
        if self._index is None or self._index.generation != self.catalogue.generation():
            self._index = VectorIndex.open(
                self.collection, self.catalogue, self.model.fingerprint, self.model.dim
            )
        return self._index

    def status(self) -> Status:
        """What the collection holds."""
        with self._question():
            return Status.of(self.collection, self.catalogue, self.model)

    def stored(self, digest: bytes) -> tuple[int, Embeddings] | None:
        """(id, vector `(dim,)`) of the content with this hash; None where there is none."""
        content = self.catalogue.content_of(digest)
        if content is None:
            return None
        found = self.catalogue.embeddings_of(self.model.fingerprint, [content])
        return (content, found[content]) if found else None

    def _vector_of(self, image: Path | str | int) -> tuple[Embeddings, list[int]]:
        """The vector `(dim,)` of a picture, and its content's id where the collection has it."""
        if isinstance(image, int):
            found = self.catalogue.embeddings_of(self.model.fingerprint, [image])
            if image not in found:
                raise QueryError(f"no picture has the id {image} in this collection")
            return found[image], [image]
        from indexer.decode import Limits
        from indexer.digest import digest

        from .pictures import encode_bytes, read_picture

        path, limits = Path(image), Limits()
        data = read_picture(path, limits)
        if (own := self.stored(digest(data))) is not None:
            return own[1], [own[0]]
        return encode_bytes(self.encoder, data, path, limits)[0], []

    @contextmanager
    def _question(self) -> Iterator[None]:
        """One question, answered by one model: the one that is active when it is asked."""
        with translated(str(self.collection.folder)):
            active = self.catalogue.active_model() if self._follows else None
            if active is not None and active.fingerprint != self.model.fingerprint:
                self.model, self._encoder = active, None
                self._index = self._estimator = None
            yield


def _check_range(k: int, offset: int, min_relevance: float) -> None:
    if not 0 <= min_relevance <= 1:
        raise QueryError(f"the least relevance must be from 0 to 1, not {min_relevance}")
    if k < 1 or offset < 0:
        raise QueryError(f"k must be 1 or more and offset 0 or more, not {k} and {offset}")
