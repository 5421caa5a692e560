"""The sources that this process has opened."""

import threading

from .archive import Archive
from .object_store import Files, ObjectStore
from .source import Source
from .url import Url

# Archives whose tables of contents are kept: a collection may have thousands of shards.
KEPT = 8

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
        while len(_archives) >= KEPT:
            _archives.pop(next(iter(_archives)))
        _archives[url.root] = archive
    return archive


def _files_of(url: Url) -> Files:
    """Return the file system of a host; there is one for all threads, and each scheme's own."""
    host = url.place.partition("://")[2].partition("/")[0]
    key = url.scheme, host
    with _lock:
        if key not in _files:
            _files[key] = Files(url)
        return _files[key]
