"""What one index run writes: a batch's files, contents and vectors in one transaction."""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass

from indexer.store.catalog import Catalog
from indexer.store.codec import packed

from .stages import Batch, Read


@dataclass(frozen=True)
class Skipped:
    """A file that could not be indexed; it is tried again when it changes, or when asked to."""

    path: bytes
    reason: str


@dataclass
class BuildReport:
    """What a run did, in files: `indexed + reused + unchanged + failed` were found.

    indexed: encoded. reused: copies and moved files whose content had a vector already.
    unchanged: not read. removed: gone from disk and dropped. failed: could not be read.
    """

    indexed: int = 0
    reused: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: int = 0
    seconds: float = 0.0
    images_per_second: float = 0.0

    def to_json(self) -> dict[str, float]:
        """The object that `clipdex index --json` prints last."""
        metadata = asdict(self)
        metadata["seconds"] = round(self.seconds, 3)
        metadata["images_per_second"] = round(self.images_per_second, 2)
        return metadata


class Committer:
    """Writes batches, and counts in `report` what came of each file. Call inside transactions."""

    def __init__(
        self,
        catalog: Catalog,
        fingerprint: str,
        report: BuildReport,
        on_skip: Callable[[Skipped], None] | None,
    ) -> None:
        self.catalog = catalog
        self.fingerprint = fingerprint
        self.report = report
        self.on_skip = on_skip or (lambda skipped: None)

    def commit(self, batch: Batch) -> None:
        """One batch."""
        ids: dict[bytes, int] = {}
        if batch.vectors is not None:
            generation = self.catalog.next_generation()
            for item, vector in zip(batch.fresh, packed(batch.vectors), strict=True):
                ids[item.digest] = self._add_content(item, vector, generation)
        encoded = set(ids)
        for item in batch.files:
            task = item.task
            if item.reason is not None:
                self.fail(task.root, task.path, item.size, item.mtime_ns, item.reason)
                continue
            content = ids.get(item.digest) or self.catalog.content_of(item.digest)
            self._put(task.root, task.path, item.size, item.mtime_ns, content, None)
            if item.digest in encoded:
                encoded.discard(item.digest)
                self.report.indexed += 1
            else:
                self.report.reused += 1

    def fail(self, root: int, path: bytes, size: int, mtime_ns: int, reason: str) -> None:
        """One file (or folder) that could not be read."""
        self._put(root, path, size, mtime_ns, None, reason)
        self.report.failed += 1
        folder = self.catalog.roots()[root]
        self.on_skip(Skipped(os.path.join(folder, path), reason))

    def _add_content(self, item: Read, vector: bytes, generation: int) -> int:
        """The id of the content, new or known, which has this vector now.

        A vector that is there already stays: the FAISS files hold it under this id.
        """
        connection = self.catalog.connection
        taken = (item.taken.seconds, item.taken.offset) if item.taken else (None, None)
        content: int = connection.execute(
            "INSERT INTO contents (hash, width, height, format, taken_at, taken_offset, sketch) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (hash) DO UPDATE SET width = excluded.width, height = excluded.height, "
            "format = excluded.format, taken_at = excluded.taken_at, "
            "taken_offset = excluded.taken_offset, sketch = excluded.sketch RETURNING id",
            (item.digest, item.width, item.height, item.format, *taken, item.sketch),
        ).fetchone()[0]
        connection.execute(
            "INSERT OR IGNORE INTO embeddings VALUES (?, ?, ?, ?)",
            (content, self.fingerprint, generation, vector),
        )
        return content

    def _put(
        self,
        root: int,
        path: bytes,
        size: int,
        mtime_ns: int,
        content: int | None,
        reason: str | None,
    ) -> None:
        self.catalog.connection.execute(
            "INSERT INTO files (root, path, size, mtime_ns, content, reason) "
            "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (root, path) DO UPDATE SET "
            "size = excluded.size, mtime_ns = excluded.mtime_ns, content = excluded.content, "
            "reason = excluded.reason",
            (root, path, size, mtime_ns, content, reason),
        )
