"""One index run: scan, read, encode, commit, publish."""

import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from indexer.arguments import several
from indexer.devices.cpu_count import available_cores
from indexer.images.decode import Limits
from indexer.images.formats import READER_VERSION
from indexer.pipeline.stages import Plan, run
from indexer.pipeline.writer import BuildReport, Committer, Skipped
from indexer.scan import diff
from indexer.scan.exclusions import FORGET, Rules, parse
from indexer.sources.place import Place
from indexer.store.approximate.codes_file import publish_codes
from indexer.store.catalog import writing
from indexer.store.collection import Collection, SharedCollection, locate
from indexer.store.lookup import Lookup
from indexer.store.protocol import StoreReader, StoreWriter
from indexer.store.publish_vectors import publish, remove_vector_files
from indexer.store.records import IndexKind, IndexOptions, Model, Shard, inside
from indexer.store.rows import Exclusion

from . import switch_model
from .encoder import BatchEncoder, BundleEncoder, Encoder, name_of, require_unit
from .errors import CollectionError, ExclusionError, ModelNotFound, QueryError
from .forget_files import erase, prune
from .load import BUILT_IN, find_bundle, load_encoder
from .model_name import INT8_SUFFIX

# Less is no search.
MIN_RECALL = 0.5


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
    collection: Collection | Path | str | None = None,
    encoder: Encoder | None = None,
    exclude: Sequence[str] | str = (),
    include: Sequence[str] | str = (),
    changed: Sequence[Path] = (),
    retry_failed: bool = False,
    rehash: bool = False,
    prune_vanished: bool = False,
    shard: str | None = None,
    index: IndexKind | None = None,
    recall: float | None = None,
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
        paths: A folder or file, or several of them; or URLs of what fsspec reads, such as
            "s3://bucket/prefix" or "zip://photos.zip" (`indexer.sources`).
        collection: The collection, its folder or its URL, created if missing; None to find it as
            `locate` does.
        encoder: None for the collection's own model, or the built-in model in a new collection.
            With the encoder of another model, all images of the collection are encoded again
            beside the vectors that answer searches meanwhile, and that model takes over at the end
            of the run.
        exclude: Patterns of files and folders to leave out, by gitignore's rules
            (`indexer.scan.exclusions`), one or several; the collection keeps them. Images that it
            holds there are deleted from it, as by `forget`.
        include: Patterns of earlier runs that are not to be left out any more. A path that was
            forgotten is indexed again when it is named itself.
        changed: Paths below `paths` that have changed: only these are looked at, and nothing that
            was forgotten there comes back. One that has vanished is found by its folder.
        retry_failed: Whether to try files again that failed before and have not changed; a clipdex
            that reads more than the one before does so once by itself.
        rehash: Whether to read every file, even if its size and time are as they were.
        prune_vanished: Whether to delete the embeddings of images whose files have vanished, and
            those of former models.
        shard: The share of all files to index, such as "3/8", by the hash of a file's path in its
            folder, so that several machines index one folder, each into a collection of its own
            (`indexer.merge_collections`); the collection keeps it.
        index: How searches go through the vectors: "exact" scores every one of them,
            "approximate" those that codes propose, "auto" chooses by their number; the collection
            keeps it. None for what it keeps.
        recall: The share of the ten best images that codes have to propose, from 0.5 to 1; the
            collection keeps it.
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
        ExclusionError: A pattern is not one.
        CollectionError: The collection cannot be written.
        ModelError: The model cannot be used.
    """
    target = collection if isinstance(collection, Collection) else locate(collection)
    named = [diff.resolve(path, target) for path in several(paths)]
    resolved = [diff.resolve(path, target) for path in changed] or named
    left_out = _Exclusions.parse(exclude, include, [place.folder for place in resolved])
    target.create()
    with writing(target, "index") as catalog:
        _keep_index_options(catalog, index, recall)
        _keep_shard(catalog, target, shard)
        used = encoder or _default_encoder(catalog, resolved, limits, on_note)
        try:
            job = _Run(target, catalog, used, on_progress, on_skip, on_note, rehash)
            return job.run(
                resolved,
                left_out,
                named=[] if changed else named,
                retry_failed=retry_failed,
                prune_vanished=prune_vanished,
                workers=workers,
                batch_size=batch_size,
                limits=limits or Limits(),
            )
        finally:
            if encoder is None and isinstance(used, BatchEncoder):
                used.close()


def _keep_shard(catalog: StoreWriter, collection: Collection, text: str | None) -> None:
    """Keep the share of files that a collection has; it cannot be changed once there are some."""
    if text is None:
        return
    wanted, known = parse_shard(text), catalog.shard()
    if wanted == known:
        return
    if known is not None or catalog.counts() != (0, 0, 0):
        raise CollectionError(
            f"{collection.shown} holds {f'shard {known}' if known else 'all files'}, not shard "
            f"{wanted}: name another --collection for it"
        )
    with catalog.transaction():
        catalog.set_shard(wanted)


def parse_shard(text: str) -> Shard:
    """Return a share of all files, such as "3/8".

    Raises:
        QueryError: It is none.
    """
    found = re.fullmatch(r"([1-9]\d{0,5})/([1-9]\d{0,5})", text)
    if found is None or int(found[1]) > int(found[2]):
        raise QueryError(f"{text!r} is no share of files: the third of eight is 3/8")
    return Shard(int(found[1]), int(found[2]))


def _keep_index_options(catalog: StoreWriter, kind: IndexKind | None, recall: float | None) -> None:
    known = catalog.index_options()
    options = IndexOptions(
        known.kind if kind is None else kind, known.recall if recall is None else recall
    )
    if not MIN_RECALL <= options.recall <= 1:
        raise QueryError(f"a recall of {options.recall:g} cannot be asked for: give 0.5 to 1")
    if options != known:
        with catalog.transaction():
            catalog.set_index_options(options)


def _default_encoder(
    catalog: StoreReader,
    places: Sequence[Place],
    limits: Limits | None,
    on_note: Callable[[str], None] | None,
) -> Encoder:
    """Return the encoder of the collection's own model.

    An 8-bit model of an older clipdex, whose vectors depended on the processor, is made anew.
    """
    say = on_note or (lambda line: None)
    model = catalog.active_model()
    name, fingerprint = (model.name, model.fingerprint) if model else (BUILT_IN, None)
    if name.endswith(INT8_SUFFIX) and not _is_portable(name, fingerprint):
        from .compile.int8 import full_precision, int8

        say(f"{name} is missing, or of an older clipdex that made it for one kind of processor")
        paths = [os.fsdecode(place.path) for place in places]
        derived, loss = int8(
            find_bundle(full_precision(name)), paths, limits=limits, on_progress=say
        )
        say(f"{derived.name}: {loss}")
        name, fingerprint = derived.name, derived.fingerprint
    return load_encoder(name, fingerprint=fingerprint, threads=available_cores(), on_progress=say)


def _is_portable(name: str, fingerprint: str | None) -> bool:
    try:
        return find_bundle(name, fingerprint).is_portable
    except ModelNotFound:
        return False


@dataclass(frozen=True)
class _Exclusions:
    """The patterns that a run brings, as they were typed and as they are kept."""

    exclude: dict[str, list[Exclusion]]
    include: dict[str, list[Exclusion]]

    @classmethod
    def parse(
        cls, exclude: Sequence[str] | str, include: Sequence[str] | str, folders: Sequence[bytes]
    ) -> Self:
        """Parse patterns for the folders that are indexed."""
        return cls(
            *({text: parse(text, folders) for text in several(one)} for one in (exclude, include))
        )

    def enter(self, catalog: StoreWriter, places: Sequence[Place]) -> Rules:
        """Change what the collection leaves out, and return all of it; raise before any change.

        Args:
            catalog: The collection's catalog.
            places: What is indexed: it is not forgotten any more.
        """
        kept = catalog.exclusions()
        back = [
            rule
            for rule in kept
            if rule.origin == FORGET
            and any(inside(rule.pattern, place.path) is not None for place in places)
        ]
        for text, rules in self.include.items():
            patterns = {rule.pattern for rule in rules}  # whichever folder they are counted from
            found = [rule for rule in kept if rule.origin != FORGET and rule.pattern in patterns]
            if not found:
                listed = ", ".join(sorted({os.fsdecode(one.pattern) for one in kept})) or "nothing"
                raise ExclusionError(
                    f"the collection does not exclude {text!r}, so it cannot be included again; "
                    f"it excludes {listed}"
                )
            back += found
        with catalog.transaction():
            catalog.remove_exclusions(back)
            catalog.add_exclusions(rule for rules in self.exclude.values() for rule in rules)
        return Rules(catalog.exclusions())


class _Run:
    """The state of one run between its commits."""

    def __init__(
        self,
        collection: Collection,
        catalog: StoreWriter,
        encoder: Encoder,
        on_progress: Callable[[Progress], None] | None,
        on_skip: Callable[[Skipped], None] | None,
        on_note: Callable[[str], None] | None,
        rehash: bool,
    ) -> None:
        self.collection = collection
        self.catalog = catalog
        self.encoder = encoder
        self.on_progress = on_progress or (lambda progress: None)
        self.on_note = on_note or (lambda line: None)
        self.model = Model(encoder.fingerprint, name_of(encoder), encoder.dim)
        self.report = BuildReport()
        self.rehash = rehash
        self.committer = Committer(
            catalog, encoder.fingerprint, self.report, on_skip, rehash=rehash
        )

    def run(
        self,
        places: Sequence[Place],
        left_out: _Exclusions,
        *,
        named: Sequence[Place],
        retry_failed: bool,
        prune_vanished: bool,
        workers: int | None,
        batch_size: int | None,
        limits: Limits,
    ) -> BuildReport:
        started = time.monotonic()
        scopes = diff.scopes_of(self.catalog, places, self.on_note)
        rules = left_out.enter(self.catalog, named)
        changing = switch_model.claim(self.catalog, self.model)
        if prune_vanished:
            self.catalog.remove_other_files()
        scan = diff.Scan(self.catalog, scopes, rules, self.collection.folder, self.catalog.shard())
        if not named:
            scan.scopes = [scope for scope in scopes if not scan.leaves_out(scope)]
        for count in scan.run():
            self.on_progress(Progress("scan", count, 0))
        for text, parsed in left_out.exclude.items():
            if not scan.used.intersection(rule.pattern for rule in parsed):
                self.on_note(f"--exclude {text!r} matched nothing")
        if changing:
            switch_model.include_rest(self.catalog, scopes)
        total, self.report.unchanged = self.catalog.plan_reading(
            self.model.fingerprint,
            retry_failed=retry_failed,
            rehash=self.rehash,
            reader=READER_VERSION,
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
            self.report.removed = scan.remove_vanished()
            for scope in scopes:
                if not scope.below:
                    self.catalog.set_reader_version(scope.root, READER_VERSION)
        self._erase(scan, prune_vanished)
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

    def _erase(self, scan: diff.Scan, prune_vanished: bool) -> None:
        """Delete images that are left out now, and on request those whose files have vanished."""
        if not (prune_vanished or scan.excluded):
            return
        with self.catalog.erasing():
            with self.catalog.transaction():
                gone = prune(self.catalog, None if prune_vanished else scan.excluded)
            erase(self.collection, self.catalog, gone)

    def _publish(self) -> None:
        bank = self.encoder.bundle.bank if isinstance(self.encoder, BundleEncoder) else None
        texts = np.empty((0, self.encoder.dim), np.float32) if bank is None else bank
        if isinstance(self.collection, SharedCollection):
            self.collection.publish(
                self.catalog,
                self.encoder.fingerprint,
                self.encoder.dim,
                texts,
                lambda done, of: self.on_progress(Progress("codes", done, of)),
            )
            return
        publish(
            self.collection,
            self.catalog,
            self.encoder.fingerprint,
            self.encoder.dim,
            progress=lambda done, of: self.on_progress(Progress("publish", done, of)),
        )
        files = self.catalog.vector_files(self.encoder.fingerprint)
        try:
            publish_codes(
                self.collection,
                self.catalog,
                self.encoder.fingerprint,
                files[0] if files else None,
                texts,
                lambda done, of: self.on_progress(Progress("codes", done, of)),
            )
        except OSError as exc:
            self.on_note(
                f"the codes for faster searches cannot be written ({exc.strerror or exc}): every "
                "vector is scored instead. The next `clipdex index` tries again"
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
                if batch.vectors is not None:
                    require_unit(
                        batch.vectors, len(batch.fresh), self.model.dim, name_of(self.encoder)
                    )
                with self.catalog.transaction():
                    self.committer.commit(batch)
                done += len(batch.files)
                self.on_progress(Progress("index", done, total))
