"""Walks a folder for images, in an order that is the same in every run.

Paths are bytes, as in the file system. Hidden entries, excluded ones and the collection's own
folder are skipped; links to folders are followed unless they lead back to a folder above.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from indexer.images.formats import HEAD, extension_of, is_image_name, looks_like_image

# Folders that systems create beside photos: thumbnails of Synology and QNAP, recycle bins.
SYSTEM_FOLDERS = frozenset({b"@eaDir", b"#recycle", b"$RECYCLE.BIN", b"System Volume Information"})


@dataclass(frozen=True)
class Found:
    """A file that looks like an image; path is relative to the root."""

    path: bytes
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Unreadable:
    """A folder or file that could not be read; what lies below it is unknown, not gone."""

    path: bytes
    reason: str


@dataclass(frozen=True)
class _Folder:
    """A folder still to be listed.

    Attributes:
        location: Its absolute path.
        path: Its path relative to the root.
        above: The identities of the folder and of those that it lies in.
    """

    location: bytes
    path: bytes
    above: tuple[tuple[int, int], ...]


def walk(
    root: Path, *, below: bytes = b"", exclude: Sequence[str] = (), skip: Path | None = None
) -> Iterator[Found | Unreadable]:
    """Walk a root, or the part of it at `below`: first files sorted by name, then folders.

    Args:
        root: The folder that paths are relative to.
        below: The folder or file inside the root to walk; empty for all of it.
        exclude: Globs that are matched with the name of a file or folder and with its path
            relative to the root.
        skip: A folder to leave out wherever it appears, such as the collection's own.

    Yields:
        The images, and what could not be read.

    Raises:
        OSError: The place to walk cannot be listed.
    """
    patterns = [os.fsencode(pattern) for pattern in exclude]
    skipped = _identity(os.stat(skip)) if skip is not None and skip.exists() else None
    start = os.path.join(os.fsencode(root), below) if below else os.fsencode(root)
    if below and stat.S_ISREG((info := os.stat(start)).st_mode):
        yield Found(below, info.st_size, info.st_mtime_ns)
        return
    pending = [_Folder(start, below, (_identity(os.stat(start)),))]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(folder.location) as entries:
                ordered = sorted(entries, key=lambda entry: entry.name)
        except OSError as exc:
            if folder.location == start:
                raise
            yield Unreadable(folder.path, f"folder cannot be read: {exc.strerror or exc}")
            continue
        inner: list[_Folder] = []
        for entry in ordered:
            path = os.path.join(folder.path, entry.name) if folder.path else entry.name
            if entry.name.startswith(b".") or excluded(path, entry.name, patterns):
                continue
            try:
                if entry.is_dir():
                    identity = _identity(os.stat(entry.path))
                    if (
                        identity != skipped
                        and identity not in folder.above
                        and entry.name not in SYSTEM_FOLDERS
                    ):
                        inner.append(_Folder(entry.path, path, (*folder.above, identity)))
                elif entry.is_file() and _is_image(entry):
                    info = entry.stat()
                    yield Found(path, info.st_size, info.st_mtime_ns)
            except OSError as exc:
                if exc.errno != errno.ELOOP:  # a link that leads to itself
                    yield Unreadable(path, exc.strerror or str(exc))
        pending.extend(reversed(inner))


def _is_image(entry: os.DirEntry[bytes]) -> bool:
    if extension_of(entry.name):
        return is_image_name(entry.name)
    with open(entry.path, "rb") as file:
        return looks_like_image(file.read(HEAD))


def excluded(path: bytes, name: bytes, patterns: Sequence[bytes]) -> bool:
    """Return whether one of the globs matches a name, or a path relative to the root."""
    return any(fnmatch(name, pattern) or fnmatch(path, pattern) for pattern in patterns)


def _identity(info: os.stat_result) -> tuple[int, int]:
    return info.st_dev, info.st_ino
