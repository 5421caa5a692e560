"""What a text that is being typed may go on with."""

import asyncio
import time

from indexer.errors import CollectionNotFound
from search import Engine
from search.suggestions import Suggestion, Vocabulary

from .engine_pool import EnginePool

# How long a collection's names are remembered: to read them takes as long as it has files.
REMEMBERED_SECONDS = 30.0


class SuggestionService:
    """The names of one server's collection, read when they are first needed.

    Args:
        engines: The engines on the collection.
    """

    def __init__(self, engines: EnginePool) -> None:
        self._engines = engines
        self._known: Vocabulary | None = None
        self._read = 0.0
        self._reading = asyncio.Lock()

    async def suggest(self, text: str, count: int) -> list[Suggestion]:
        """Return up to `count` ways to go on from the end of a text.

        Raises:
            Busy: Too many requests wait.
        """
        async with self._reading:
            if self._known is None or time.monotonic() - self._read > REMEMBERED_SECONDS:
                try:
                    self._known = await self._engines.run(_vocabulary)
                except CollectionNotFound:
                    return []
                self._read = time.monotonic()
        return self._known.suggest(text, count)


def _vocabulary(engine: Engine) -> Vocabulary:
    with engine.question():
        return Vocabulary.of(engine.catalog)
