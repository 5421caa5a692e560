"""The sources that this process has opened."""

import os
import threading

from .archive import Archive
from .object_store import Files, ObjectStore
from .source import Source
from .url import Url

# How many files the archives hold whose tables of contents are kept, 700 bytes each: a collection
# may have thousands of shards.
KEPT = 200_000

_lock = threading.Lock()
_files: dict[tuple[str, str], Files] = {}
_archives: dict[bytes, Archive] = {}


def open_source(root: bytes, *, current: bool = False) -> Source:
    """Return the source of a root.

    Args:
        root: A URL as the collection keeps it.
        current: Whether an archive that was opened before has to be as it was then.

    Raises:
        RootUnavailable: The URL is not of a kind that is read, or packages are missing.
        OSError: An archive cannot be read.
    """
    url = Url.parse(root)
    store = ObjectStore(url, _files_of(url))
    if not url.archive:
        return store
    with _lock:
        known = _archives.get(url.root)
    if known is not None and (not current or known.is_current):
        return known
    archive = Archive(url.archive, store)
    with _lock:
        _archives.pop(url.root, None)
        _archives[url.root] = archive
        while len(_archives) > 1 and sum(map(len, _archives.values())) > KEPT:
            _archives.pop(next(iter(_archives)))
    return archive


def exists(url: Url) -> bool:
    """Return whether the file of an archive is there.

    Raises:
        OSError: It is not, or cannot be asked for.
    """
    return ObjectStore(url, _files_of(url)).entry(b"").state is not None


def _files_of(url: Url) -> Files:
    """Return the file system of a host; there is one for all threads, and each scheme's own."""
    host = url.place.partition("://")[2].partition("/")[0]
    key = url.scheme, host
    with _lock:
        if key not in _files:
            _files[key] = Files(url)
        return _files[key]


def _forget() -> None:
    """Forget connections of the process that this one was forked from."""
    global _lock
    _lock = threading.Lock()
    _files.clear()
    _archives.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
