"""Walks a folder for images, in an order that is the same in every run.

Paths are bytes, as in the file system. Hidden entries, excluded ones and the collection's own
folder are skipped, and so are pseudo file systems such as /proc. Links to folders are followed
after the folders themselves, and a folder is walked once, whatever leads to it: by its own path
where it has one below the root.
"""

import errno
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from indexer.images.decode import Limits
from indexer.images.formats import HEAD, is_image_name, looks_like_image
from indexer.store.records import file_time, inside

from .exclusions import Exclusions
from .mounts import Mounts

# Folders that systems create beside photos: thumbnails of Synology and QNAP, recycle bins.
SYSTEM_FOLDERS = frozenset({b"@eaDir", b"#recycle", b"$RECYCLE.BIN", b"System Volume Information"})


@dataclass(frozen=True)
class Found:
    """A file that looks like an image; path is relative to the root."""

    path: bytes
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Other:
    """A file whose name and first bytes are no image's."""

    path: bytes
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Unreadable:
    """A folder or file that could not be read; what lies below it is unknown, not gone."""

    path: bytes
    reason: str


@dataclass(frozen=True)
class Elsewhere:
    """A folder that leads to another place: "mount" for another drive's, or "link"."""

    path: bytes
    kind: str


@dataclass(frozen=True)
class _Folder:
    """A folder still to be listed: its absolute path, the one relative to the root, its device."""

    location: bytes
    path: bytes
    device: int


def walk(
    root: Path,
    *,
    below: bytes = b"",
    exclusions: Exclusions | None = None,
    skip: Path | None = None,
    known_other: Callable[[Other], bool] = lambda file: False,
    mounts: Mounts | None = None,
) -> Iterator[Found | Other | Unreadable | Elsewhere]:
    """Walk a root, or the part of it at `below`: first files sorted by name, then folders.

    Args:
        root: The folder that paths are relative to.
        below: The folder or file inside the root to walk; empty for all of it.
        exclusions: What to leave out of this root.
        skip: A folder to leave out wherever it appears, such as the collection's own.
        known_other: Whether a file without an image's extension was looked into before, as it is
            now, and is no image.
        mounts: What is mounted; None to ask the system.

    Yields:
        The images, other files that were looked into, what could not be read, and the folders
        where another drive or a link begins.

    Raises:
        OSError: The place to walk cannot be listed.
    """
    excluded = exclusions or Exclusions(os.fsencode(root), ())
    mounted = mounts or Mounts.now()
    start = os.path.join(os.fsencode(root), below) if below else os.fsencode(root)
    info = os.stat(start)
    if below and stat.S_ISREG(info.st_mode):
        yield Found(below, info.st_size, file_time(info))
        return
    if info.st_dev in mounted.pseudo:
        raise OSError(errno.EINVAL, "it is the system's own and holds no files of anybody's")
    walked = {_identity(info), *_folders_above(start)}
    if skip is not None and skip.exists():
        walked.add(_identity(os.stat(skip)))
    if start in mounted.points:
        yield Elsewhere(below, "mount")
    pending = [_Folder(start, below, info.st_dev)]
    links: deque[_Folder] = deque()
    while pending or links:
        if pending:
            folder = pending.pop()
        else:
            folder = links.popleft()
            try:
                info = os.stat(folder.location)
            except OSError as exc:
                yield Unreadable(folder.path, exc.strerror or str(exc))
                continue
            if not _new(info, walked, mounted):
                continue
            yield Elsewhere(folder.path, "link")
            folder = _Folder(folder.location, folder.path, info.st_dev)
        try:
            with os.scandir(folder.location) as entries:
                ordered = sorted(entries, key=lambda entry: entry.name, reverse=True)
        except OSError as exc:
            if folder.location == start:
                raise
            yield Unreadable(folder.path, f"folder cannot be read: {exc.strerror or exc}")
            continue
        inner: list[_Folder] = []
        while ordered:
            entry = ordered.pop()  # which holds what its file's metadata take
            path = os.path.join(folder.path, entry.name) if folder.path else entry.name
            if entry.name.startswith(b"."):
                continue
            try:
                is_folder = entry.is_dir()
                if excluded.cover(path, folder=is_folder) or (
                    excluded and entry.is_symlink() and _leads_to_excluded(root, entry, excluded)
                ):
                    continue
                if is_folder:
                    found = _Folder(entry.path, path, folder.device)
                    if entry.name in SYSTEM_FOLDERS:
                        continue
                    if entry.is_symlink():
                        links.append(found)
                        continue
                    info = os.stat(entry.path)
                    if not _new(info, walked, mounted):
                        continue
                    if info.st_dev != folder.device or entry.path in mounted.points:
                        yield Elsewhere(path, "mount")
                    inner.append(_Folder(entry.path, path, info.st_dev))
                elif entry.is_file():
                    info = entry.stat()
                    size, changed = info.st_size, file_time(info)
                    if is_image_name(entry.name):
                        yield Found(path, size, changed)
                        continue
                    other = Other(path, size, changed)
                    if not 0 < size <= Limits.max_bytes or known_other(other):
                        continue
                    with open(entry.path, "rb") as file:
                        is_image = looks_like_image(file.read(HEAD))
                    yield Found(path, size, changed) if is_image else other
            except OSError as exc:
                if exc.errno != errno.ELOOP:  # a link that leads to itself
                    yield Unreadable(path, exc.strerror or str(exc))
        pending.extend(reversed(inner))


def _leads_to_excluded(root: Path, link: os.DirEntry[bytes], exclusions: Exclusions) -> bool:
    """Return whether a link leads to something below the root that is left out."""
    below = inside(os.fsencode(root), os.path.realpath(link.path))
    return below is not None and below != b"" and exclusions.cover_any(below)


def _new(info: os.stat_result, walked: set[tuple[int, int]], mounts: Mounts) -> bool:
    """Return whether a folder is to be walked, and note that it was."""
    identity = _identity(info)
    if info.st_dev in mounts.pseudo or identity in walked:
        return False
    if info.st_ino:  # some network file systems number nothing
        walked.add(identity)
    return True


def _folders_above(path: bytes) -> Iterator[tuple[int, int]]:
    """Yield the identities of the folders that one lies in: links to them would never end."""
    above = os.path.dirname(path)
    while above != path:
        path, above = above, os.path.dirname(above)
        try:
            info = os.stat(path)
        except OSError:
            continue
        if info.st_ino:
            yield _identity(info)


def _identity(info: os.stat_result) -> tuple[int, int]:
    return info.st_dev, info.st_ino
