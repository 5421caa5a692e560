"""Writes the files, contents and vectors of a batch in one transaction."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property

from indexer.store.codec import packed
from indexer.store.protocol import StoreWriter
from indexer.store.records import Scope, join
from indexer.store.rows import FileRow, NewContent

from .read import Batch


@dataclass(frozen=True)
class Skipped:
    """A file that could not be indexed.

    It is tried again when it changes, or on request; in the next run if its bytes could not be had.
    """

    path: bytes
    reason: str


@dataclass
class BuildReport:
    """What a run did, in files; `indexed + reused + unchanged + failed` were found.

    Attributes:
        indexed: Encoded.
        reused: Copied or moved, so that their content had a vector already.
        unchanged: Not read, or read again and found as they were.
        removed: Vanished from disk and removed.
        failed: Could not be read.
        seconds: Wall-clock time.
        images_per_second: Indexed and reused files per second.
    """

    indexed: int = 0
    reused: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: int = 0
    seconds: float = 0.0
    images_per_second: float = 0.0

    def __str__(self) -> str:
        """Return the line that `clipdex index` prints last."""
        return (
            f"{self.indexed:,} indexed, {self.reused:,} reused, {self.unchanged:,} unchanged, "
            f"{self.removed:,} removed, {self.failed:,} failed in {self.seconds:,.1f} s "
            f"({self.images_per_second:,.1f} images/s)"
        )

    def to_json(self) -> dict[str, float]:
        """Return the object that `clipdex index --json` prints last."""
        fields = asdict(self)
        fields["seconds"] = round(self.seconds, 3)
        fields["images_per_second"] = round(self.images_per_second, 2)
        return fields


class Committer:
    """A writer of batches that counts the outcomes in a report; call it inside transactions."""

    def __init__(
        self,
        catalog: StoreWriter,
        fingerprint: str,
        report: BuildReport,
        on_skip: Callable[[Skipped], None] | None,
        *,
        rehash: bool = False,
    ) -> None:
        """Prepare to write.

        Args:
            catalog: The collection's catalog.
            fingerprint: Of the model whose vectors are written.
            report: Counts the outcomes.
            on_skip: Called for each file that cannot be indexed.
            rehash: Whether files are read that may well be as they were.
        """
        self.catalog = catalog
        self.fingerprint = fingerprint
        self.report = report
        self.rehash = rehash
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
                    item.note,
                    (item.camera.body, item.camera.lens),
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
            if content is None:  # it was known when the file was read
                self.report.failed += 1
                self.on_skip(
                    Skipped(
                        join(self._roots[row.root], row.path),
                        "another writer removed this image meanwhile: the next run reads it again",
                    )
                )
                continue
            row = replace(row, content=content)
            as_known = self.rehash and self.catalog.is_as_known(row)
            self.catalog.put_file(row)
            if item.digest in encoded:
                encoded.discard(item.digest)
                self.report.indexed += 1
            elif as_known:
                self.report.unchanged += 1
            else:
                self.report.reused += 1

    def fail(self, row: FileRow) -> None:
        """Record why a file or folder could not be read.

        An image whose bytes cannot be had now is as it was, for all that is known: it stays.
        """
        assert row.reason is not None
        if row.size >= 0 or not self._is_image(row):
            self.catalog.put_file(row)
        self.report.failed += 1
        self.on_skip(Skipped(join(self._roots[row.root], row.path), row.reason))

    def _is_image(self, row: FileRow) -> bool:
        """Return whether an image is known at a path, and not a folder of them."""
        root = self._roots[row.root]
        contents = self.catalog.contents_in(Scope(row.root, root, row.path))
        return len(contents) == 1 and join(root, row.path) in {
            file.path for file in self.catalog.files_of(contents[0])
        }

    @cached_property
    def _roots(self) -> dict[int, bytes]:
        """The roots, which do not change between two scans."""
        return self.catalog.roots()
