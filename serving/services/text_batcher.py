"""Texts of concurrent requests, encoded together.

While one batch is being encoded the next gathers, so that a lone request never waits for others and
many share the encoder's passes. Vectors of the last texts are kept: the pages of one search, and a
search that is typed letter by letter and taken back, ask for the same ones.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from indexer.encoder import Embeddings

from .errors import Busy

# Texts that are encoded in one pass.
MAX_BATCH = 64

Encode = Callable[[list[str]], Embeddings]


class TextBatcher:
    """Encodes the texts of concurrent requests together.

    Args:
        encode: Turns n texts into `(n, dim)`; called in a thread of its own, one call at a time.
        queue: Number of requests that may wait; further ones are turned away.
        batching: Whether one pass may serve several requests.
        cache: Number of texts whose vectors are kept.
        gather: Awaited before each pass, for as long as it is worth to wait for further requests;
            None not to wait.
    """

    def __init__(
        self,
        encode: Encode,
        *,
        queue: int,
        batching: bool = True,
        cache: int = 256,
        gather: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._encode = encode
        self._queue = queue
        self._gather = gather if batching else None
        self._max_batch = MAX_BATCH if batching else 1
        self._cache_size = cache
        self._cache: OrderedDict[str, Embeddings] = OrderedDict()
        self._waiting: deque[tuple[list[str], asyncio.Future[Embeddings]]] = deque()
        self._draining: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="encode texts")

    @property
    def waiting(self) -> int:
        """The number of requests that wait."""
        return len(self._waiting)

    async def encode(self, texts: Sequence[str]) -> Embeddings:
        """Encode the texts of one request.

        Returns:
            The vectors `(n, dim)`.

        Raises:
            Busy: Too many requests wait.
        """
        kept = [self._cache.get(text) for text in texts]
        missing = [text for text, vector in zip(texts, kept, strict=True) if vector is None]
        if missing:
            fresh = dict(zip(missing, await self._pass(missing), strict=True))
            kept = [
                fresh[text] if vector is None else vector
                for text, vector in zip(texts, kept, strict=True)
            ]
            self._keep(fresh)
        for text in texts:
            if text in self._cache:
                self._cache.move_to_end(text)
        return np.stack([vector for vector in kept if vector is not None])

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _keep(self, vectors: dict[str, Embeddings]) -> None:
        self._cache.update(vectors)
        while len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)

    async def _pass(self, texts: list[str]) -> Embeddings:
        if len(self._waiting) >= self._queue:
            raise Busy
        future: asyncio.Future[Embeddings] = asyncio.get_running_loop().create_future()
        self._waiting.append((texts, future))
        if self._draining is None or self._draining.done():
            self._draining = asyncio.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            if self._gather is not None:
                await self._gather()
            batch = [self._waiting.popleft()]
            count = len(batch[0][0])
            while self._waiting and count + len(self._waiting[0][0]) <= self._max_batch:
                batch.append(self._waiting.popleft())
                count += len(batch[-1][0])
            texts = [text for wanted, _ in batch for text in wanted]
            try:
                vectors = await loop.run_in_executor(self._thread, self._encode, texts)
            except Exception as exc:  # each request that waits for it has to know
                for _, future in batch:
                    if not future.done():
                        future.set_exception(exc)
                continue
            start = 0
            for wanted, future in batch:
                if not future.done():  # its client may have gone
                    future.set_result(vectors[start : start + len(wanted)])
                start += len(wanted)
