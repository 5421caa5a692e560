"""Text classifiers of the collection, loaded once and run off the event loop."""

import asyncio
import os
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from indexer.encoder import Encoder
from indexer.errors import ArtifactError
from indexer.store.collection import Collection
from search.labels.answer import Answer
from search.labels.artifact import MANIFEST, names
from search.labels.text_classifier import TextClassifier, texts_folder

from .errors import Busy, NotFound

# Each may hold an encoder of its own.
MAX_LOADED = 4

Stamp = tuple[int, int, int]


class TextService:
    """Classifies texts, one request at a time.

    Args:
        collection: Holds the classifiers.
        queue: Number of requests that may wait; further ones are turned away.
    """

    def __init__(self, collection: Collection, *, queue: int) -> None:
        self._collection = collection
        self._queue = queue
        self._pending = 0
        self._loaded: OrderedDict[str, tuple[Stamp, TextClassifier]] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="classify texts")

    async def classify(
        self, name: str, texts: Sequence[str], top: int, known: Encoder | None = None
    ) -> list[Answer]:
        """Return the best labels of each text.

        Args:
            name: Of the classifier.
            texts: What to classify.
            top: How many labels each text gets.
            known: The encoder of the collection's model, where that is loaded.

        Raises:
            NotFound: There is no classifier of this name.
            ArtifactError: It is damaged, or its model is not here.
            QueryError: A text is empty.
            Busy: Too many requests wait.
        """
        if self._pending >= self._queue:
            raise Busy
        self._pending += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(
                self._thread, lambda: self._find(name, known).best(texts, top)
            )
        finally:
            self._pending -= 1

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _find(self, name: str, known: Encoder | None) -> TextClassifier:
        """Return a classifier, read again where it was learnt again."""
        folder = texts_folder(self._collection.folder)
        if name not in names(folder):
            self._loaded.pop(name, None)
            raise NotFound(f"no such text classifier: {name}")
        try:
            status = os.stat(folder / name / MANIFEST)
        except OSError as exc:
            raise ArtifactError(f"{folder / name} cannot be read: {exc}") from exc
        stamp = status.st_mtime_ns, status.st_size, status.st_ino
        loaded = self._loaded.get(name)
        if loaded is None or loaded[0] != stamp:
            loaded = stamp, TextClassifier.load(folder / name, known)
        self._loaded[name] = loaded
        self._loaded.move_to_end(name)
        while len(self._loaded) > MAX_LOADED:
            self._loaded.popitem(last=False)
        return loaded[1]
