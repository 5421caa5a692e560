"""From what a client asked to hits: encoding and ranking, off the event loop."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from indexer.encoder import Embeddings, Encoder
from indexer.errors import CollectionNotFound, FingerprintMismatch, QueryError
from indexer.store.records import Model
from search import Engine, Hit
from search.labels.concepts import expand_concepts
from search.ranking.image_query import encode_bytes
from search.ranking.query import Query
from search.ranking.ranking import Options
from serving.errors import Busy, Problem
from serving.metrics import Metrics
from serving.schemas.responses import Shown
from serving.settings import Settings

from .engine_pool import STALENESS, Engines
from .text_batcher import TextBatcher

T = TypeVar("T")

# A collection whose model changes this often in one request is not settled.
ATTEMPTS = 3
# Texts that are encoded at the start, so that the first client does not wait for loading: as many
# as make the text encoder pack its weights.
WARM_UP = 10


@dataclass(frozen=True)
class Asked:
    """A search. images: bytes of files. image_id: an image of the collection, which is left
    out of the hits itself.
    """

    query: Query
    images: Sequence[bytes] = ()
    image_id: int | None = None


@dataclass(frozen=True)
class _Ready:
    """The model that answers, and its encoder."""

    model: Model
    encoder: Encoder
    texts: TextBatcher


class Answering:
    """Searches of one server."""

    def __init__(self, engines: Engines, settings: Settings, metrics: Metrics) -> None:
        self.engines = engines
        self.settings = settings
        self.metrics = metrics
        self._ready: _Ready | None = None
        self._shown = Shown((), whole=False)
        self._looked = 0.0
        self._preparing = asyncio.Lock()
        self._images = ThreadPoolExecutor(settings.workers, thread_name_prefix="images")
        self._images_pending = 0

    @property
    def waiting(self) -> dict[str, int]:
        """Requests that wait, by what for."""
        return {
            "encode": self._ready.texts.waiting if self._ready else 0,
            "rank": self.engines.waiting,
            "images": self._images_pending,
        }

    async def warm_up(self) -> None:
        """Load the model before the first client needs it; an empty collection has none yet."""
        try:
            ready = await self.ready()
        except CollectionNotFound:
            return
        for number in range(WARM_UP):
            await ready.texts.encode([f"warm up {number}"])
        await self.search(Asked(Query("warm up")), {"k": 1})

    async def ready(self) -> _Ready:
        """The encoder of the collection's model. Raises CollectionNotFound."""
        if self._ready is None:
            async with self._preparing:
                if self._ready is None:
                    self._ready = await self._prepare()
        return self._ready

    async def _prepare(self) -> _Ready:
        def load(engine: Engine) -> tuple[Model, Encoder]:
            with engine.question():
                return engine.model, engine.encoder

        model, encoder = await self.engines.ask(load)

        def encode(texts: list[str]) -> Embeddings:
            began = time.perf_counter()
            vectors = encoder.encode_texts(texts)
            self.metrics.seconds.labels("encode").observe(time.perf_counter() - began)
            return vectors

        texts = TextBatcher(
            encode,
            queue=self.settings.queue,
            batching=self.settings.batching,
            cache=self.settings.query_cache,
        )
        self.metrics.model.clear()
        self.metrics.model.labels(model.name, model.fingerprint).set(1)
        return _Ready(model, encoder, texts)

    async def search(self, asked: Asked, options: Options) -> tuple[list[Hit], int]:
        """(hits, how many images pass the filters); nothing where nothing is indexed yet.

        Raises QueryError, ImageError, Busy.
        """
        for _ in range(ATTEMPTS):
            try:
                ready = await self.ready()
                folder = self.engines.collection.folder
                asked = replace(asked, query=expand_concepts(asked.query, folder, ready.model))
                vector, leave_out = await self._vector(ready, asked)
                return await self._rank(ready, asked, vector, leave_out, options)
            except CollectionNotFound:
                self._forget()
                return [], 0
            except FingerprintMismatch:
                self._forget()
        raise Problem(409, "the collection is changing its model: ask again")

    async def newest(self, options: Options) -> tuple[list[Hit], int]:
        """The images taken last."""
        try:
            return await self.engines.ask(lambda engine: engine.newest(**options))
        except CollectionNotFound:
            return [], 0

    async def shown(self, paths: Sequence[bytes]) -> Shown:
        """How these paths are shown, below the roots: those of a second ago, unless one of the
        paths is below none of them.
        """
        old = time.monotonic() - self._looked > STALENESS
        if (paths and old) or not all(self._shown.covers(path) for path in paths):
            self._looked = time.monotonic()
            roots = await self.engines.ask(lambda engine: list(engine.catalog.roots().values()))
            self._shown = Shown(roots, whole=False)
        return self._shown

    async def encode_texts(self, texts: Sequence[str]) -> Embeddings:
        """`(n, dim)`, together with those of other clients."""
        return await (await self.ready()).texts.encode(texts)

    async def encode_images(self, images: Sequence[bytes]) -> Embeddings:
        """`(n, dim)` of files' bytes. Raises ImageError."""
        encoder = (await self.ready()).encoder
        limits = self.settings.limits

        def encode() -> Embeddings:
            began = time.perf_counter()
            name = Path("the image")
            made = [encode_bytes(encoder, data, name, limits) for data in images]
            self.metrics.seconds.labels("encode_image").observe(time.perf_counter() - began)
            return np.concatenate(made)

        return await self.with_images(encode)

    async def with_images(self, work: Callable[[], T]) -> T:
        """What `work` returns, in one of the threads that decode images. Raises Busy."""
        if self._images_pending >= self.settings.queue:
            raise Busy
        self._images_pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._images, work)
        finally:
            self._images_pending -= 1

    def close(self) -> None:
        """End the threads."""
        self._forget()
        self._images.shutdown(wait=True, cancel_futures=True)

    def _forget(self) -> None:
        if self._ready is not None:
            self._ready.texts.close()
            self._ready = None

    async def _vector(self, ready: _Ready, asked: Asked) -> tuple[Embeddings, list[int]]:
        query = asked.query
        nothing = np.zeros((0, ready.model.dim), np.float32)
        texts = await ready.texts.encode(query.texts) if query.texts else nothing
        images = await self.encode_images(asked.images) if asked.images else nothing
        if asked.image_id is None:
            return query.combined(texts, images), []
        number, fingerprint = asked.image_id, ready.model.fingerprint
        found = await self.engines.ask(
            lambda engine: engine.catalog.embeddings_of(fingerprint, [number])
        )
        if number not in found:
            raise Problem(404, f"no image has the id {number}")
        own = found[number][np.newaxis]
        return query.combined(texts, np.concatenate([images, own])), [number]

    async def _rank(
        self,
        ready: _Ready,
        asked: Asked,
        vector: Embeddings,
        leave_out: list[int],
        options: Options,
    ) -> tuple[list[Hit], int]:
        has_image = bool(asked.images) or asked.image_id is not None
        kind = replace(asked.query, images=[Path()] if has_image else []).kind

        def rank(engine: Engine) -> tuple[list[Hit], int]:
            began = time.perf_counter()
            answer = engine.answer(
                vector, ready.model.fingerprint, kind=kind, leave_out=leave_out, **options
            )
            self.metrics.seconds.labels("rank").observe(time.perf_counter() - began)
            return answer

        return await self.engines.ask(rank)


def check_folders(folders: Sequence[str], *, absolute: bool) -> None:
    """Raise QueryError for folders that a client may not name; absolute: whether it knows paths."""
    for folder in folders:
        parts = Path(folder).parts
        if ".." in parts or "\0" in folder or (Path(folder).is_absolute() and not absolute):
            raise QueryError(f"no indexed image lies in {folder[:200]!r}")
