"""Compares what folders hold now with what the catalog knows."""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from indexer.errors import ExclusionError, RootUnavailable
from indexer.sources.place import Place
from indexer.sources.url import absolute
from indexer.store.catalog import open_reader
from indexer.store.collection import Collection
from indexer.store.paths import display, is_remote, is_url
from indexer.store.protocol import StoreWriter
from indexer.store.records import SEPARATOR, Scope, Shard, file_time, inside, join
from indexer.store.rows import FileRow, StoredFile

from .exclusions import Exclusions, Rules, moved
from .mounts import Mounts
from .walk import Elsewhere, Found, Other, Unreadable, walk

# Files recorded at once, and reported as progress.
STEP = 1000
# Of so many files of a root that is not there, this share has to be in a folder for it to be that
# root; times agree as far as file systems keep them (FAT: two seconds).
SAMPLE, MOVED_SHARE = 200, 0.9
# With more roots that are not there, only those of a folder's own name are compared with it.
MANY_AWAY = 50
TIME_TOLERANCE_NS = 2 * 10**9


def resolve(path: Path | str, collection: Collection) -> Place:
    """Return the folder or image that a user has named, by a path or a URL.

    Args:
        path: The folder or file to index.
        collection: Where it will be indexed: only what it knows can have been unplugged.

    Raises:
        RootUnavailable: There is nothing at this path, or it cannot be asked for.
    """
    try:
        return Place.find(path)
    except (OSError, RuntimeError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        what = f"{path} is not there ({reason})"
        if is_remote(path) and not isinstance(exc, FileNotFoundError):
            what = f"{path} cannot be read ({reason})"
        if not isinstance(exc, ValueError) and _is_known(path, collection):
            raise RootUnavailable.unplugged(what, remote=is_remote(path)) from exc
        raise RootUnavailable(
            f"{what}. Nothing was indexed: give the path of a folder or an image"
            if not is_remote(path)
            else f"{what}. Nothing was indexed"
        ) from exc


def _is_known(path: Path | str, collection: Collection) -> bool:
    """Return whether a collection has roots at a path, above it or below it."""
    if not collection.exists:
        return False
    here = absolute(path)
    with closing(open_reader(collection)) as catalog:
        roots = catalog.roots().values()
        return any(
            inside(root, here) is not None or inside(here, root) is not None for root in roots
        )


def scopes_of(
    catalog: StoreWriter, places: Sequence[Place], on_note: Callable[[str], None]
) -> list[Scope]:
    """Return the scopes of folders or files, adding a root for each that no root contains.

    A new root absorbs the roots below it. A folder that holds what a root held that is not there
    any more is that root, renamed or mounted elsewhere.

    Args:
        catalog: The catalog to look the roots up in.
        places: What is indexed.
        on_note: Called with a line of text on a root that has moved.
    """
    numbers = {root: number for number, root in catalog.roots().items()}
    away = [root for root in numbers if not is_url(root) and not _has_entries(root)]
    with catalog.transaction():
        # Folders before what lies in them, so that none becomes a root only to be absorbed.
        for folder in sorted({place.folder for place in places}, key=_depth):
            if root_above(numbers, folder) is not None:
                continue
            candidates = [] if is_url(folder) else _candidates(away, folder)
            before = next(
                (root for root in candidates if _has_moved(catalog, numbers[root], folder)), b""
            )
            if before:
                away.remove(before)
                numbers[folder] = numbers.pop(before)
                catalog.move_root(numbers[folder], folder)
                catalog.set_exclusions(moved(catalog.exclusions(), before, folder))
                on_note(
                    f"{display(before)} is not there, and its images are in {display(folder)}: it "
                    "was renamed, or mounted elsewhere"
                )
            else:
                numbers[folder] = catalog.add_root(folder)
    numbers = {root: number for number, root in catalog.roots().items()}
    found = []
    for place in places:
        root = root_above(numbers, place.folder)
        assert root is not None
        found.append(Scope(numbers[root], root, inside(root, place.path) or b""))
    catalog.hold_roots({scope.root for scope in found})
    return found


def _depth(folder: bytes) -> int:
    return folder.rstrip(SEPARATOR).count(SEPARATOR)


@dataclass
class Scan:
    """One scan of folders: what they hold, and what is gone from them.

    Attributes:
        catalog: The catalog to record it in.
        scopes: The folders or files to scan.
        rules: What to leave out.
        skip: A folder to leave out, the collection's own.
        shard: The share of all files to look at; None for all of them.
        excluded: The contents of files that vanished because they are left out now.
    """

    catalog: StoreWriter
    scopes: Sequence[Scope]
    rules: Rules
    skip: Path
    shard: Shard | None = None
    excluded: list[int] = field(default_factory=list)
    _exclusions: dict[int, Exclusions] = field(default_factory=dict)
    _mounts: Mounts = field(default_factory=Mounts.now)

    def run(self) -> Iterator[int]:
        """Record what the scopes hold.

        Yields:
            How many images were found so far.

        Raises:
            ExclusionError: A scope is left out.
            RootUnavailable: A scope cannot be listed, or held images and is empty now.
        """
        for scope in self.scopes:
            if self.leaves_out(scope):
                raise ExclusionError(
                    f"{_display(scope)} is left out by an earlier --exclude: take that back with "
                    "--include and its pattern (`clipdex status` lists them)"
                )
        self.catalog.begin_scan()
        count = 0
        for scope in self.scopes:
            before = count
            leading = _Leading({}, set())
            try:
                for rows in self._rows(scope, leading):
                    self.catalog.see(rows)
                    count += sum(row.reason is None for row in rows)
                    if len(rows) == STEP:
                        yield count
            except OSError as exc:
                advice = "check its permissions and run the same command again"
                if exc.errno == errno.EINVAL:  # a pseudo file system
                    advice = "name a folder of images"
                raise RootUnavailable(
                    f"{_display(scope)} cannot be read ({exc.strerror or exc}). Nothing was "
                    f"removed; {advice}"
                ) from exc
            known = self.catalog.count_images(scope)
            if known and count == before and not self._of(scope).used:
                raise RootUnavailable.unplugged(
                    f"{_display(scope)} held {known:,} images and is empty now",
                    remote=is_url(scope.location),
                )
            self._keep_what_is_away(scope, leading)
        yield count

    def leaves_out(self, scope: Scope) -> bool:
        """Return whether an exclusion covers all of a scope."""
        return bool(scope.below) and self._of(scope).cover_any(scope.below)

    @property
    def used(self) -> set[bytes]:
        """The patterns that left something out."""
        return {rule.pattern for one in self._exclusions.values() for rule in one.used}

    def remove_vanished(self) -> int:
        """Remove the files that the scan did not find; call this inside a transaction.

        Returns:
            How many images are gone, without those that have moved.
        """
        self.catalog.find_vanished(self.scopes)
        if any(self._exclusions.values()):
            self.excluded = [
                content
                for root, path, content in self.catalog.vanished()
                if self._exclusions[root].cover_file(path)
            ]
        return self.catalog.remove_vanished()

    def _of(self, scope: Scope) -> Exclusions:
        """Return what is left out of a scope's root."""
        if scope.root not in self._exclusions:
            self._exclusions[scope.root] = self.rules.of(scope.location)
        return self._exclusions[scope.root]

    def _rows(self, scope: Scope, leading: "_Leading") -> Iterator[list[FileRow]]:
        """Yield what a scope holds, STEP files at a time."""
        rows: list[FileRow] = []
        others: list[Other] = []

        def known_other(file: Other) -> bool:
            return self.catalog.is_other_file(scope.root, file.path, file.size, file.mtime_ns)

        for entry in self._walk(scope, known_other):
            if isinstance(entry, Elsewhere):
                leading.now[entry.path] = entry.kind
            elif self.shard is not None and not self.shard.holds(entry.path):
                continue
            elif isinstance(entry, Other):
                others.append(entry)
            elif isinstance(entry, Found):
                rows.append(FileRow(scope.root, entry.path, entry.size, entry.mtime_ns))
            else:
                rows.append(FileRow(scope.root, entry.path, -1, -1, reason=entry.reason))
                leading.unreadable.add(entry.path)
            if len(rows) == STEP or len(others) == STEP:
                self._note_others(scope, others)
                yield rows
                rows, others = [], []
        self._note_others(scope, others)
        yield rows

    def _walk(
        self, scope: Scope, known_other: Callable[[Other], bool]
    ) -> Iterator[Found | Other | Unreadable | Elsewhere]:
        """Walk a scope, whatever its root is."""
        if is_url(scope.location):
            from indexer.sources.opened import open_source  # folders do not pay for it

            from .walk_remote import walk_source

            def known_image(file: Found) -> bool:
                return self._is_known_image(scope, file)

            return walk_source(
                open_source(scope.location, current=True),
                below=scope.below,
                exclusions=self._of(scope),
                known_other=known_other,
                known_image=known_image,
            )
        return walk(
            Path(os.fsdecode(scope.location)),
            below=scope.below,
            exclusions=self._of(scope),
            skip=self.skip,
            known_other=known_other,
            mounts=self._mounts,
        )

    def _is_known_image(self, scope: Scope, file: Found) -> bool:
        """Return whether the catalog has an image as it is now."""
        contents = self.catalog.contents_in(Scope(scope.root, scope.location, file.path))
        stored = StoredFile(join(scope.location, file.path), file.size, file.mtime_ns)
        return len(contents) == 1 and stored in self.catalog.files_of(contents[0])

    def _note_others(self, scope: Scope, others: Sequence[Other]) -> None:
        if others:
            with self.catalog.transaction():
                self.catalog.put_other_files(
                    FileRow(scope.root, one.path, one.size, one.mtime_ns) for one in others
                )

    def _keep_what_is_away(self, scope: Scope, leading: "_Leading") -> None:
        """Keep the images of drives and links that lead nowhere now, and say so.

        A drive that is unplugged leaves an empty folder behind, or none: what it holds is away, and
        not deleted. That is known of places that were another drive's, or a link's, before.
        """
        before = self.catalog.mounts(scope)
        after = dict(leading.now)
        for path, kind in {**before, **leading.now}.items():
            place = Scope(scope.root, scope.location, path)
            location = os.path.join(scope.location, path)
            if self._of(scope).cover_any(path):
                continue
            if path in leading.unreadable:
                after[path] = kind  # it may well be away the next time
                continue
            known = self.catalog.count_images(place)
            if not known or self.catalog.saw_known_file(place):
                continue
            if kind == "link" and not os.path.lexists(location):
                continue  # the link was deleted
            if kind == "mount" and not os.path.isdir(os.path.dirname(location)):
                continue  # so was, or moved, the folder with the mount in it
            after[path] = kind
            if not path:
                raise RootUnavailable.unplugged(
                    f"{_display(scope)} held {known:,} images on a drive that is not there now"
                )
            reason = (
                f"held {known:,} images and is away: they are kept. If it is on a drive, plug it "
                "in; if it is gone for good, run `clipdex forget` on it"
            )
            self.catalog.see([FileRow(scope.root, path, -1, -1, reason=reason)])
        if after != before:
            with self.catalog.transaction():
                self.catalog.set_mounts(scope, after)


@dataclass
class _Leading:
    """The places of one scope that lead elsewhere now, by path, and what could not be read."""

    now: dict[bytes, str]
    unreadable: set[bytes]


def _candidates(away: Sequence[bytes], folder: bytes) -> list[bytes]:
    """Return the roots that a folder may have been: a few, or those of many that have its name."""
    if len(away) <= MANY_AWAY:
        return list(away)
    return [root for root in away if os.path.basename(root) == os.path.basename(folder)]


def _has_entries(folder: bytes) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(not entry.name.startswith(b".") for entry in entries)
    except OSError:
        return False


def _has_moved(catalog: StoreWriter, root: int, folder: bytes) -> bool:
    """Return whether a folder holds the files that a root held, judged by some of them."""
    sampled = catalog.sample_files(root, SAMPLE)
    alike = 0
    for row in sampled:
        try:
            info = os.stat(join(folder, row.path))
        except OSError:
            continue
        near = abs(file_time(info) - row.mtime_ns) <= TIME_TOLERANCE_NS
        alike += info.st_size == row.size and near
    return bool(sampled) and alike >= MOVED_SHARE * len(sampled)


def root_above(numbers: dict[bytes, int], path: bytes) -> bytes | None:
    """Return the root that a path is or lies in."""
    while path not in numbers:
        above = os.path.dirname(path)
        if above == path:
            return None
        path = above
    return path


def _display(scope: Scope) -> str:
    return display(join(scope.location, scope.below))
