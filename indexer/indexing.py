"""One index run: look, read, encode, commit, publish."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from . import changes
from .catalogue import Catalogue, Model
from .collection import Collection, locate
from .database import translated
from .decode import Limits
from .encoder import Encoder
from .lock import writer_lock
from .lookup import Lookup
from .models import BUILT_IN, load_encoder, require_fingerprint
from .pipeline import Batch, Plan, Read, available_cores, run
from .removal import prune
from .vectors import publish


@dataclass(frozen=True)
class Skipped:
    """A file that could not be indexed; it is tried again when it changes, or when asked to."""

    path: bytes
    reason: str


@dataclass(frozen=True)
class Progress:
    """Where a run is. stage: "scan" (total is 0), "index" or "publish"."""

    stage: str
    done: int
    total: int


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
        facts = asdict(self)
        facts["seconds"] = round(self.seconds, 3)
        facts["images_per_second"] = round(self.images_per_second, 2)
        return facts


def build(
    paths: Sequence[Path | str],
    *,
    collection: Path | str | None = None,
    encoder: Encoder | None = None,
    exclude: Sequence[str] = (),
    retry_failed: bool = False,
    prune_vanished: bool = False,
    workers: int | None = None,
    batch_size: int | None = None,
    limits: Limits | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_skip: Callable[[Skipped], None] | None = None,
) -> BuildReport:
    """Bring a collection up to date with these folders (or single files).

    collection: its folder; found as `locate` does otherwise, and made where there is none.
    encoder: the collection's own model otherwise, or the built-in one for a new collection.
    workers, batch_size: decoder threads and pictures a batch; chosen for the machine otherwise.

    Every batch is committed with its files, so an interrupted run (KeyboardInterrupt passes
    through) keeps what it did, and the next one goes on from there.
    Raises RootUnavailable, CollectionError or ModelError; a bad file is no error but a row.
    """
    target = locate(Path(collection) if collection is not None else None)
    resolved = [changes.resolve(Path(path)) for path in paths]
    target.create()
    with writer_lock(target, "index"), translated(str(target.folder)):
        catalogue = Catalogue.open(target, writable=True)
        try:
            used = encoder or _default_encoder(catalogue)
            job = _Run(target, catalogue, used, on_progress, on_skip)
            return job.run(
                resolved,
                exclude=exclude,
                retry_failed=retry_failed,
                prune_vanished=prune_vanished,
                plan=Plan.of(used, workers, batch_size),
                limits=limits or Limits(),
            )
        finally:
            catalogue.close()


def _default_encoder(catalogue: Catalogue) -> Encoder:
    model = catalogue.active_model()
    return load_encoder(model.name if model else BUILT_IN, threads=available_cores())


class _Run:
    """The state of one run between its commits."""

    def __init__(
        self,
        collection: Collection,
        catalogue: Catalogue,
        encoder: Encoder,
        on_progress: Callable[[Progress], None] | None,
        on_skip: Callable[[Skipped], None] | None,
    ) -> None:
        self.collection = collection
        self.catalogue = catalogue
        self.encoder = encoder
        self.on_progress = on_progress or (lambda progress: None)
        self.on_skip = on_skip or (lambda skipped: None)
        self.report = BuildReport()

    def run(
        self,
        paths: Sequence[Path],
        *,
        exclude: Sequence[str],
        retry_failed: bool,
        prune_vanished: bool,
        plan: Plan,
        limits: Limits,
    ) -> BuildReport:
        started = time.monotonic()
        self._claim_model()
        scopes = [changes.scope_of(self.catalogue, path) for path in paths]
        # A root that came later in the list may have taken in an earlier one.
        scopes = [changes.scope_of(self.catalogue, path) for path in paths]
        for count in changes.look(
            self.catalogue, scopes, exclude=exclude, skip=self.collection.folder
        ):
            self.on_progress(Progress("scan", count, 0))
        total, self.report.unchanged = changes.plan(self.catalogue, retry_failed=retry_failed)
        with self.catalogue.transaction():
            for root, path, reason in changes.unreadable(self.catalogue):
                self._fail(root, path, -1, -1, reason)
        try:
            self._read_all(total, plan, limits)
        except KeyboardInterrupt:
            self._publish()  # what was committed is there for the next search
            raise
        with self.catalogue.transaction():
            self.report.removed = changes.remove_vanished(self.catalogue, scopes)
            if prune_vanished:
                prune(self.catalogue)
        self._publish()
        self.report.seconds = time.monotonic() - started
        read = self.report.indexed + self.report.reused
        self.report.images_per_second = read / max(self.report.seconds, 1e-9)
        return self.report

    def _publish(self) -> None:
        publish(
            self.collection,
            self.catalogue,
            self.encoder.fingerprint,
            self.encoder.dim,
            progress=lambda done, of: self.on_progress(Progress("publish", done, of)),
        )

    def _claim_model(self) -> None:
        model = self.catalogue.active_model()
        if model is not None:
            require_fingerprint(model, self.encoder)
            return
        name = getattr(self.encoder, "name", type(self.encoder).__name__)
        with self.catalogue.transaction():
            self.catalogue.activate(Model(self.encoder.fingerprint, name, self.encoder.dim))

    def _read_all(self, total: int, plan: Plan, limits: Limits) -> None:
        done = 0
        self.on_progress(Progress("index", 0, total))
        with (
            Lookup(self.collection, self.encoder.fingerprint) as lookup,
            closing(
                run(changes.tasks(self.catalogue), self.encoder, plan, limits, lookup.known)
            ) as batches,
        ):
            for batch in batches:
                with self.catalogue.transaction():
                    self._commit(batch)
                done += len(batch.files)
                self.on_progress(Progress("index", done, total))

    def _commit(self, batch: Batch) -> None:
        ids: dict[bytes, int] = {}
        if batch.vectors is not None:
            packed = np.ascontiguousarray(batch.vectors, dtype="<f2")
            generation = self.catalogue.next_generation()
            for item, vector in zip(batch.fresh, packed, strict=True):
                ids[item.digest] = self._add_content(item, vector.tobytes(), generation)
        encoded = set(ids)
        for item in batch.files:
            task = item.task
            if item.reason is not None:
                self._fail(task.root, task.path, item.size, item.mtime_ns, item.reason)
                continue
            content = ids.get(item.digest) or self.catalogue.content_of(item.digest)
            self._put(task.root, task.path, item.size, item.mtime_ns, content, None)
            if item.digest in encoded:
                encoded.discard(item.digest)
                self.report.indexed += 1
            else:
                self.report.reused += 1

    def _add_content(self, item: Read, vector: bytes, generation: int) -> int:
        connection = self.catalogue.connection
        content = connection.execute(
            "INSERT INTO contents (hash, width, height, format) VALUES (?, ?, ?, ?)",
            (item.digest, item.width, item.height, item.format),
        ).lastrowid
        assert content is not None
        connection.execute(
            "INSERT INTO embeddings VALUES (?, ?, ?, ?)",
            (content, self.encoder.fingerprint, generation, vector),
        )
        return content

    def _fail(self, root: int, path: bytes, size: int, mtime_ns: int, reason: str) -> None:
        self._put(root, path, size, mtime_ns, None, reason)
        self.report.failed += 1
        folder = self.catalogue.roots()[root]
        self.on_skip(Skipped(os.path.join(folder, path), reason))

    def _put(
        self,
        root: int,
        path: bytes,
        size: int,
        mtime_ns: int,
        content: int | None,
        reason: str | None,
    ) -> None:
        self.catalogue.connection.execute(
            "INSERT INTO files (root, path, size, mtime_ns, content, reason) "
            "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (root, path) DO UPDATE SET "
            "size = excluded.size, mtime_ns = excluded.mtime_ns, content = excluded.content, "
            "reason = excluded.reason",
            (root, path, size, mtime_ns, content, reason),
        )
