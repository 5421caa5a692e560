"""What one index run writes: a batch's files, contents and vectors in one transaction."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from indexer.store.codec import packed
from indexer.store.protocol import StoreWriter
from indexer.store.records import FileRow, NewContent, join

from .read import Batch


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
        catalog: StoreWriter,
        fingerprint: str,
        report: BuildReport,
        on_skip: Callable[[Skipped], None] | None,
    ) -> None:
        self.catalog = catalog
        self.fingerprint = fingerprint
        self.report = report
        self.on_skip = on_skip or (lambda skipped: None)

    def commit(self, batch: Batch) -> None:
        """Write one batch."""
        ids: dict[bytes, int] = {}
        if batch.vectors is not None:
            generation = self.catalog.next_generation()
            for item, vector in zip(batch.fresh, packed(batch.vectors), strict=True):
                new = NewContent(
                    item.digest,
                    item.width,
                    item.height,
                    item.format,
                    item.captured.seconds if item.captured else None,
                    item.captured.offset if item.captured else None,
                    item.thumbnail,
                    vector,
                )
                ids[item.digest] = self.catalog.put_content(new, self.fingerprint, generation)
        encoded = set(ids)
        for item in batch.files:
            task = item.task
            row = FileRow(task.root, task.path, item.size, item.mtime_ns, reason=item.reason)
            if item.reason is not None:
                self.fail(row)
                continue
            content = ids.get(item.digest) or self.catalog.content_of(item.digest)
            self.catalog.put_file(replace(row, content=content))
            if item.digest in encoded:
                encoded.discard(item.digest)
                self.report.indexed += 1
            else:
                self.report.reused += 1

    def fail(self, row: FileRow) -> None:
        """Write the reason why a file (or folder) could not be read."""
        assert row.reason is not None
        self.catalog.put_file(row)
        self.report.failed += 1
        folder = self.catalog.roots()[row.root]
        self.on_skip(Skipped(join(folder, row.path), row.reason))
