"""A few engines on one collection, each in a thread of its own, and the encoder that they share."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from indexer.encoder import Encoder
from indexer.load import load_encoder
from indexer.store.collection import Collection
from indexer.store.database import until_unchanged
from indexer.store.records import Model
from search import Engine

from .errors import Busy

T = TypeVar("T")

# Answers may lag this many seconds behind what an index run commits.
STALENESS = 1.0


class EnginePool:
    """Runs work on the engines of one collection.

    Args:
        collection: May be empty or missing; each piece of work finds out anew.
        threads: Number of threads, each with an engine of its own.
        queue: Number of pieces of work that may wait before others are turned away.
    """

    def __init__(self, collection: Collection, *, threads: int, queue: int) -> None:
        self.collection = collection
        self._queue = queue
        self._pending = 0
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="search")
        self._local = threading.local()
        self._open: list[Engine] = []
        self._lock = threading.Lock()
        self._encoders: dict[str, Encoder] = {}

    @property
    def waiting(self) -> int:
        """The number of pieces of work that are running or wait."""
        return self._pending

    async def run(self, work: Callable[[Engine], T]) -> T:
        """Run `work` on an engine, in its thread, and return its result.

        Raises:
            CollectionNotFound: Nothing is indexed yet.
            Busy: Too many pieces of work wait.
        """
        if self._pending >= self._queue:
            raise Busy
        self._pending += 1
        try:
            loop = asyncio.get_running_loop()
            read = until_unchanged(lambda: work(self._engine()))
            return await loop.run_in_executor(self._pool, read)
        finally:
            self._pending -= 1

    def encoder(self, model: Model) -> Encoder:
        """Return the encoder of a model, loaded once; those of former models are released."""
        with self._lock:
            if model.fingerprint not in self._encoders:
                made = load_encoder(model.name, fingerprint=model.fingerprint, device="cpu")
                self._encoders = {model.fingerprint: made}
            return self._encoders[model.fingerprint]

    def close(self) -> None:
        """End the threads and close the catalogs."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for engine in self._open:
            engine.close()

    def _engine(self) -> Engine:
        engine: Engine | None = getattr(self._local, "engine", None)
        if engine is not None and self.collection.was_removed:  # it was deleted
            self._local.engine = None
            with self._lock, suppress(ValueError):
                self._open.remove(engine)
            engine.close()
            engine = None
        if engine is None:
            engine = Engine.open(self.collection, load=self.encoder, staleness=STALENESS)
            self._local.engine = engine
            with self._lock:
                self._open.append(engine)
        return engine
