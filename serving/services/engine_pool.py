"""A few engines on one collection, each in a thread of its own, and the encoder that they share.

What waits is done by a thread in one go, and its results come back to the event loop together: each
time that two threads of Python take turns costs both of them more than a small search does, and
clients that are answered together ask again together, so that their texts share a pass.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

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
# How long a result may wait for those that follow it.
TOGETHER_SECONDS = 0.005

Asked = tuple[Callable[[], Any], asyncio.Future[Any]]
Done = tuple[asyncio.Future[Any], Any, BaseException | None]


class EnginePool:
    """Runs work on the engines of one collection.

    Args:
        collection: May be empty or missing; each piece of work finds out anew.
        threads: Number of threads, each with an engine of its own.
        queue: Number of pieces of work that may wait before others are turned away.
    """

    def __init__(self, collection: Collection, *, threads: int, queue: int) -> None:
        self.collection = collection
        self._threads = threads
        self._queue = queue
        self._pending = 0
        self._asked: deque[Asked] = deque()
        self._done: deque[Done] = deque()
        self._working = 0
        self._looks = False
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="search")
        self._local = threading.local()
        self._open: list[Engine] = []
        self._lock, self._turns = threading.Lock(), threading.Lock()
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
            future: asyncio.Future[T] = loop.create_future()
            read = until_unchanged(lambda: work(self._engine()))
            with self._turns:
                self._asked.append((read, future))
                starts = self._working < self._threads
                self._working += starts
            if starts:
                self._pool.submit(self._work, loop)
            if not self._looks:
                self._looks = True
                loop.call_later(TOGETHER_SECONDS, self._look, loop)
            return await future
        finally:
            self._pending -= 1

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        """Do what waits, in one of the threads."""
        while True:
            with self._turns:
                if not self._asked:
                    self._working -= 1
                    break
                read, future = self._asked.popleft()
            if future.cancelled():  # its client has gone
                continue
            try:
                self._done.append((future, read(), None))
            except BaseException as exc:  # raised again where the work was asked for
                self._done.append((future, None, exc))
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(self._deliver)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Deliver what is done while more is being worked on, now and again."""
        self._deliver()
        self._looks = self._pending > 0
        if self._looks:
            loop.call_later(TOGETHER_SECONDS, self._look, loop)

    def _deliver(self) -> None:
        while self._done:
            future, result, error = self._done.popleft()
            if future.done():  # its client has gone
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

    def encoder(self, model: Model) -> Encoder:
        """Return the encoder of a model, loaded once; those of former models are released."""
        with self._lock:
            if model.fingerprint not in self._encoders:
                made = load_encoder(model.name, fingerprint=model.fingerprint, device="cpu")
                self._encoders = {model.fingerprint: made}
            return self._encoders[model.fingerprint]

    def close(self) -> None:
        """End the threads and close the catalogs; what waits is not done any more."""
        with self._turns:
            while self._asked:
                self._asked.popleft()[1].cancel()
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
