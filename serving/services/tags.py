"""Tags of images: what there are, and changing them."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from indexer.errors import CollectionNotFound, ImageNotFound
from indexer.store.catalog import write_transaction
from search import Engine
from search.labels.tagging import TagChange, change_tags, count_tags, starting_with

from .engine_pool import EnginePool
from .errors import Busy

# How long a change waits for another writer, such as a command: a client waits, too.
WAIT_SECONDS = 2.0


class TagService:
    """The tags of one server's collection; one change at a time, in a thread of its own.

    Args:
        engines: The engines on the collection.
        queue: Number of changes that may wait before others are turned away.
    """

    def __init__(self, engines: EnginePool, *, queue: int) -> None:
        self._engines = engines
        self._queue = queue
        self._pending = 0
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="tags")

    async def counts(self, prefix: str) -> list[tuple[str, int]]:
        """Return (tag, images) of the tags that begin with a prefix, in any case, by tag.

        Raises:
            Busy: Too many requests wait.
        """

        def count(engine: Engine) -> list[tuple[str, int]]:
            with engine.question():
                return starting_with(count_tags(engine.catalog), prefix)

        try:
            return await self._engines.run(count)
        except CollectionNotFound:
            return []

    async def change(
        self, numbers: Sequence[int], add: Sequence[str], remove: Sequence[str]
    ) -> list[TagChange]:
        """Add tags to images and take tags from them: from all, or if one is missing from none.

        Returns:
            What was changed.

        Raises:
            ImageNotFound: No image has one of the ids.
            CollectionLocked: Another process writes, and goes on writing.
            CollectionError: The collection cannot be written.
            Busy: Too many changes wait.
        """

        def work() -> list[TagChange]:
            with write_transaction(self._engines.collection, "serve", WAIT_SECONDS) as catalog:
                there = catalog.contents(numbers)
                for number in numbers:
                    if number not in there:
                        raise ImageNotFound(f"no image has the id {number}")
                return change_tags(catalog, numbers, add=add, remove=remove)

        if self._pending >= self._queue:
            raise Busy
        self._pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._writer, work)
        finally:
            self._pending -= 1

    def close(self) -> None:
        """End the thread."""
        self._writer.shutdown(wait=True, cancel_futures=True)
