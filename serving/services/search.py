"""From a search request to hits: encoding and ranking, off the event loop."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from indexer.encoder import Embeddings, Encoder
from indexer.errors import CollectionNotFound, FingerprintMismatch
from indexer.store.records import Model
from search import Engine
from search.hits import Results
from search.labels.concepts import expand_concepts
from search.ranking.image_query import encode_image_files
from search.ranking.query import EncodedQuery, Query
from search.request import SearchRequest
from serving.metrics import Metrics
from serving.schemas.paths import PathView
from serving.settings import Settings

from .engine_pool import STALENESS, EnginePool
from .errors import Busy
from .text_batcher import TextBatcher

T = TypeVar("T")

# A collection whose model changes this often in one request is not settled.
MAX_ATTEMPTS = 3
# Texts that are encoded at the start, so that the first client does not wait for loading: as many
# as make the text encoder pack its weights.
WARM_UP_TEXTS = 10
# How long texts wait for those of clients that are about to be answered and may ask again: a pass
# over eight texts takes little more than half of the time of eight passes.
GATHER_SECONDS = 0.03


@dataclass(frozen=True)
class ReadyModel:
    """The collection's model, its encoder, and the queue of texts for it."""

    model: Model
    encoder: Encoder
    texts: TextBatcher


class SearchService:
    """Answers the searches of one server.

    The engine searches; this encodes what concurrent clients ask for together, and keeps work off
    the event loop.

    Args:
        engines: The engines on the server's collection.
        settings: The server's settings.
        metrics: Where the time that each stage takes is counted.
    """

    def __init__(self, engines: EnginePool, settings: Settings, metrics: Metrics) -> None:
        self.engines = engines
        self.settings = settings
        self.metrics = metrics
        self._ready: ReadyModel | None = None
        self._paths = PathView((), whole=settings.expose_paths)
        self._roots_read = 0.0
        self._preparing = asyncio.Lock()
        self._images = ThreadPoolExecutor(settings.threads, thread_name_prefix="images")
        self._images_pending = 0
        self._ranking = 0
        self._unseen: dict[int, EncodedQuery] = {}  # queries of texts that no engine has come to
        self._none_ranked = asyncio.Event()

    @property
    def waiting(self) -> dict[str, int]:
        """The number of waiting requests by stage."""
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
        for number in range(WARM_UP_TEXTS):
            await ready.texts.encode([f"warm up {number}"])
        await self.search(SearchRequest("warm up", k=1))

    async def ready(self) -> ReadyModel:
        """Return the collection's model, loading it if need be.

        Raises:
            CollectionNotFound: Nothing is indexed yet.
        """
        if self._ready is None:
            async with self._preparing:
                if self._ready is None:
                    self._ready = await self._prepare()
        return self._ready

    async def _prepare(self) -> ReadyModel:
        def load(engine: Engine) -> tuple[Model, Encoder]:
            with engine.question():
                return engine.model, engine.encoder

        model, encoder = await self.engines.run(load)

        def encode(texts: list[str]) -> Embeddings:
            with self.metrics.seconds.labels("encode").time():
                return encoder.encode_texts(texts)

        texts = TextBatcher(
            encode,
            queue=self.settings.queue,
            batching=self.settings.batching,
            cache=self.settings.query_cache,
            gather=self._ranked,
        )
        self.metrics.answers(model.name, model.fingerprint)
        return ReadyModel(model, encoder, texts)

    async def search(self, request: SearchRequest) -> Results:
        """Answer a request, with nothing when nothing is indexed yet.

        Raises:
            QueryError: There is nothing to look for, or the query makes no vector.
            ImageError: An image cannot be read.
            FingerprintMismatch: The collection keeps changing its model.
            Busy: Too many requests wait.
        """
        query = Query.of(request)
        for _ in range(MAX_ATTEMPTS):
            try:
                encoded = await self._encode(query)
                return await self._rank(encoded)
            except CollectionNotFound:
                self._forget()
                return Results([], 0)
            except FingerprintMismatch:
                self._forget()
        raise FingerprintMismatch("the collection is changing its model: ask again")

    async def newest(self, request: SearchRequest) -> Results:
        """Return the images taken last, as `search` does; only the conditions and the page count.

        Raises:
            Busy: Too many requests wait.
        """

        def newest(engine: Engine) -> Results:
            return engine.newest(
                k=request.k,
                offset=request.offset,
                collapse=request.collapse,
                filter=request.filter,
                labels=request.labels,
            )

        try:
            return await self.engines.run(newest)
        except CollectionNotFound:
            return Results([], 0)

    async def path_view(self, paths: Sequence[bytes]) -> PathView:
        """Return what clients see of these paths.

        The roots are those of a second ago, unless one of the paths lies below none of them.
        """
        if self.settings.expose_paths:
            return self._paths
        old = time.monotonic() - self._roots_read > STALENESS
        if (paths and old) or not all(self._paths.covers(path) for path in paths):
            self._roots_read = time.monotonic()
            roots = await self.engines.run(_roots)
            self._paths = PathView(roots, whole=False)
        return self._paths

    async def encode_texts(self, texts: Sequence[str]) -> Embeddings:
        """Encode texts, together with those of other clients.

        Returns:
            The vectors `(n, dim)`.
        """
        return await (await self.ready()).texts.encode(texts)

    async def encode_images(self, images: Sequence[bytes]) -> Embeddings:
        """Encode the bytes of image files.

        Returns:
            The vectors `(n, dim)`.

        Raises:
            ImageError: An image cannot be read.
            Busy: Too many requests wait.
        """
        encoder = (await self.ready()).encoder

        def encode() -> Embeddings:
            with self.metrics.seconds.labels("encode_image").time():
                return encode_image_files(encoder, images, self.settings.limits)

        return await self.run_with_images(encode)

    async def run_with_images(self, work: Callable[[], T]) -> T:
        """Run `work` in one of the threads that decode images, and return its result.

        Raises:
            Busy: Too many requests wait.
        """
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

    async def _encode(self, query: Query) -> EncodedQuery:
        """Encode a query as `Query.encode` does, in batches with those of other clients."""
        ready = await self.ready()
        query = expand_concepts(query, self.engines.collection.folder, ready.model)
        texts = images = np.zeros((0, ready.model.dim), np.float32)
        if query.texts:
            texts = await ready.texts.encode(query.texts)
        if query.files:
            # A client's images are bytes: it can name no file of this machine.
            uploads = [file for file in query.files if isinstance(file, bytes)]
            images = await self.encode_images(uploads)
        return EncodedQuery(query, ready.model.fingerprint, texts, images)

    async def _rank(self, encoded: EncodedQuery) -> Results:
        def rank(engine: Engine) -> Results:
            with self.metrics.seconds.labels("rank").time():
                if id(encoded) in self._unseen:
                    together, self._unseen = self._unseen, {}
                    engine.look_ahead(list(together.values()))
                return engine.answer(encoded)

        if encoded.query.kind == "text":
            self._unseen[id(encoded)] = encoded
        self._ranking += 1
        self._none_ranked.clear()
        try:
            return await self.engines.run(rank)
        finally:
            self._ranking -= 1
            if not self._ranking:
                self._none_ranked.set()

    async def _ranked(self) -> None:
        """Wait until no search is being ranked, or GATHER_SECONDS."""
        if self._ranking:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._none_ranked.wait(), GATHER_SECONDS)


def _roots(engine: Engine) -> list[bytes]:
    with engine.question():
        return list(engine.catalog.roots().values())
