"""One index run: scan, read, encode, commit, publish."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from indexer.arguments import several
from indexer.devices.cpu_count import available_cores
from indexer.images.decode import Limits
from indexer.pipeline.stages import Plan, run
from indexer.pipeline.writer import BuildReport, Committer, Skipped
from indexer.scan import diff
from indexer.store.catalog import writing
from indexer.store.collection import Collection, locate
from indexer.store.lookup import Lookup
from indexer.store.protocol import StoreReader, StoreWriter
from indexer.store.records import Model
from indexer.store.vector_index import publish, remove_vector_files

from . import switch_model
from .encoder import BatchEncoder, Encoder, name_of
from .forget_files import prune
from .load import BUILT_IN, load_encoder


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        stage: "scan", "index" or "publish".
        done: Files found, files read or vectors published so far.
        total: Of how many; 0 while scanning.
    """

    stage: str
    done: int
    total: int


def build(
    paths: Path | str | Sequence[Path | str],
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
    on_note: Callable[[str], None] | None = None,
) -> BuildReport:
    """Bring a collection up to date with folders or single files.

    Every batch is committed with its files, so an interrupted run (KeyboardInterrupt passes
    through) keeps what it did, and the next run continues from there.

    Args:
        paths: A folder or file, or several of them.
        collection: The collection's folder, created if missing; None to find it as `locate` does.
        encoder: None for the collection's own model, or the built-in model in a new collection.
            With the encoder of another model, all images of the collection are encoded again
            beside the vectors that answer searches meanwhile, and that model takes over at the end
            of the run.
        exclude: Glob patterns of files and folders to leave out; one or several.
        retry_failed: Whether to try files again that failed before and have not changed.
        prune_vanished: Whether to delete the embeddings of images whose files have vanished, and
            those of former models.
        workers: How many images are decoded at once; None to choose for this machine.
        batch_size: Images per batch; None to choose for this machine.
        limits: The largest file and image to read.
        on_progress: Called as the run advances.
        on_skip: Called for each file that cannot be indexed.
        on_note: Called with a line of text on what was chosen, where that is worth knowing.

    Returns:
        What the run did. An unreadable file is not an error; it is counted as failed.

    Raises:
        RootUnavailable: A folder is missing, unreadable or suddenly empty; nothing was removed.
        CollectionError: The collection cannot be written.
        ModelError: The model cannot be used.
    """
    target = locate(Path(collection) if collection is not None else None)
    resolved = [diff.resolve(Path(path), target) for path in several(paths)]
    target.create()
    with writing(target, "index") as catalog:
        used = encoder or _default_encoder(catalog, on_note)
        try:
            job = _Run(target, catalog, used, on_progress, on_skip)
            return job.run(
                resolved,
                exclude=several(exclude),
                retry_failed=retry_failed,
                prune_vanished=prune_vanished,
                workers=workers,
                batch_size=batch_size,
                limits=limits or Limits(),
            )
        finally:
            if encoder is None and isinstance(used, BatchEncoder):
                used.close()


def _default_encoder(catalog: StoreReader, on_note: Callable[[str], None] | None) -> Encoder:
    model = catalog.active_model()
    name, fingerprint = (model.name, model.fingerprint) if model else (BUILT_IN, None)
    return load_encoder(
        name,
        fingerprint=fingerprint,
        threads=available_cores(),
        on_progress=on_note or (lambda line: None),
    )


class _Run:
    """The state of one run between its commits."""

    def __init__(
        self,
        collection: Collection,
        catalog: StoreWriter,
        encoder: Encoder,
        on_progress: Callable[[Progress], None] | None,
        on_skip: Callable[[Skipped], None] | None,
    ) -> None:
        self.collection = collection
        self.catalog = catalog
        self.encoder = encoder
        self.on_progress = on_progress or (lambda progress: None)
        self.model = Model(encoder.fingerprint, name_of(encoder), encoder.dim)
        self.report = BuildReport()
        self.committer = Committer(catalog, encoder.fingerprint, self.report, on_skip)

    def run(
        self,
        paths: Sequence[Path],
        *,
        exclude: Sequence[str],
        retry_failed: bool,
        prune_vanished: bool,
        workers: int | None,
        batch_size: int | None,
        limits: Limits,
    ) -> BuildReport:
        started = time.monotonic()
        changing = switch_model.claim(self.catalog, self.model)
        scopes = [diff.scope_of(self.catalog, path) for path in paths]
        # A root later in the list may have absorbed an earlier one, so the scopes are asked again.
        scopes = [diff.scope_of(self.catalog, path) for path in paths]
        for count in diff.scan(self.catalog, scopes, exclude=exclude, skip=self.collection.folder):
            self.on_progress(Progress("scan", count, 0))
        if changing:
            switch_model.include_rest(self.catalog, scopes)
        total, self.report.unchanged = self.catalog.plan_reading(
            self.model.fingerprint, retry_failed=retry_failed
        )
        with self.catalog.transaction():
            for row in self.catalog.unreadable():
                self.committer.fail(row)
        if total and isinstance(self.encoder, BatchEncoder):
            self.encoder.prepare(total, batch_size)
        try:
            self._read_all(total, Plan.of(self.encoder, workers, batch_size), limits)
        except KeyboardInterrupt:
            self._publish()  # so that the next search finds what was committed
            raise
        with self.catalog.transaction():
            self.report.removed = diff.remove_vanished(self.catalog, scopes)
            if prune_vanished:
                prune(self.catalog)
        self._publish()
        if changing:
            with self.catalog.transaction():
                self.catalog.activate(self.model)
        if prune_vanished:
            self._drop_former_models()
        self.report.seconds = time.monotonic() - started
        read = self.report.indexed + self.report.reused
        self.report.images_per_second = read / max(self.report.seconds, 1e-9)
        return self.report

    def _publish(self) -> None:
        publish(
            self.collection,
            self.catalog,
            self.encoder.fingerprint,
            self.encoder.dim,
            progress=lambda done, of: self.on_progress(Progress("publish", done, of)),
        )

    def _drop_former_models(self) -> None:
        with self.catalog.transaction():
            dropped = self.catalog.remove_former_models()
        for fingerprint in dropped:
            remove_vector_files(self.collection, fingerprint)

    def _read_all(self, total: int, plan: Plan, limits: Limits) -> None:
        done = 0
        self.on_progress(Progress("index", 0, total))
        with (
            Lookup(self.collection, self.encoder.fingerprint) as lookup,
            closing(
                run(self.catalog.tasks(), self.encoder, plan, limits, lookup.is_encoded, lookup)
            ) as batches,
        ):
            for batch in batches:
                with self.catalog.transaction():
                    self.committer.commit(batch)
                done += len(batch.files)
                self.on_progress(Progress("index", done, total))
