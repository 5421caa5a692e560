"""Walks a root that is no folder of this machine, in the order in which `walk` goes through one.

Only names are looked at, and the first bytes of files whose names have no extension: asking for
those of every other file would cost a request each.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from indexer.images.decode import Limits
from indexer.images.formats import HEAD, is_image_name, looks_like_image
from indexer.sources.opened import open_source
from indexer.sources.place import Place
from indexer.sources.source import Entry, Source, State
from indexer.store.records import inside

from .exclusions import Exclusions
from .walk import SYSTEM_FOLDERS, Found, Other, Unreadable

# Folders that are listed at once, and files that are looked into.
REQUESTS = 16
NO_STATE = State(-1, -1)


def walk_source(
    source: Source,
    *,
    below: bytes = b"",
    exclusions: Exclusions,
    known_other: Callable[[Other], bool] = lambda file: False,
    known_image: Callable[[Found], bool] = lambda file: False,
) -> Iterator[Found | Other | Unreadable]:
    """Walk a source, or the part of it at `below`: first files sorted by name, then folders.

    Args:
        source: The root.
        below: The folder or file inside the root to walk; empty for all of it.
        exclusions: What to leave out.
        known_other: Whether a file without an extension was looked into before, as it is now, and
            is no image.
        known_image: Whether it is one, as it is now.

    Yields:
        The images, other files that were looked into, and what could not be read.

    Raises:
        OSError: The place to walk cannot be listed.
    """
    start = source.entry(below)
    if start.state is not None:
        yield Found(below, *start.state)
        return
    with ThreadPoolExecutor(REQUESTS, thread_name_prefix="list") as pool:
        pending: list[tuple[bytes, Future[list[Entry]] | None]] = [(below, None)]
        try:
            while pending:
                for at in range(max(0, len(pending) - REQUESTS), len(pending)):
                    path, listing = pending[at]
                    pending[at] = path, listing or pool.submit(source.entries, path)
                folder, listing = pending.pop()
                assert listing is not None
                try:
                    entries = sorted(listing.result(), key=lambda entry: entry.name)
                except OSError as exc:
                    if folder == below:
                        raise
                    yield Unreadable(folder, f"folder cannot be read: {exc.strerror or exc}")
                    continue
                files, folders = [], []
                for entry in entries:
                    path = os.path.join(folder, entry.name) if folder else entry.name
                    is_folder = entry.state is None and entry.reason is None
                    if entry.name.startswith(b".") or exclusions.cover(path, folder=is_folder):
                        continue
                    if not is_folder:
                        files.append((path, entry))
                    elif entry.name not in SYSTEM_FOLDERS:
                        folders.append(path)
                look = [
                    (path, entry)
                    for path, entry in files
                    if _is_to_be_looked_into(path, entry, known_other)
                ]
                heads = {
                    path: pool.submit(source.read, path, HEAD)
                    for path, entry in look
                    if not known_image(Found(path, *(entry.state or NO_STATE)))
                }
                known = {path for path, _ in look} - heads.keys()
                yield from _files(files, heads, known)
                pending += [(path, None) for path in reversed(folders)]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def walk_url(path: Path | str) -> tuple[bytes, Iterator[Found | Other | Unreadable]]:
    """Walk what a user has named by a URL, without a collection.

    Returns:
        The root, and what is there.

    Raises:
        OSError: It cannot be read; also later.
        RootUnavailable: It is a URL that is not read.
    """
    place = Place.find(path)
    source = open_source(place.folder)
    below = inside(place.folder, place.path) or b""
    return place.folder, walk_source(source, below=below, exclusions=Exclusions(place.folder, ()))


def _is_to_be_looked_into(path: bytes, entry: Entry, known_other: Callable[[Other], bool]) -> bool:
    """Return whether a file may be an image by its first bytes alone."""
    if entry.state is None or entry.reason is not None or b"." in entry.name:
        return False
    there = 0 < entry.state.size <= Limits.max_bytes
    return there and not known_other(Other(path, *entry.state))


def _files(
    files: list[tuple[bytes, Entry]], heads: dict[bytes, Future[bytes]], known: set[bytes]
) -> Iterator[Found | Other | Unreadable]:
    """Yield the files of one folder.

    Args:
        files: Their paths, and what is known of them.
        heads: The first bytes of those that are looked into.
        known: Images that need not be.
    """
    for path, entry in files:
        if entry.reason is not None:
            yield Unreadable(path, entry.reason)
        elif entry.state is None:
            continue
        elif is_image_name(entry.name) or path in known:
            yield Found(path, *entry.state)
        elif path in heads:
            try:
                is_image = looks_like_image(heads.pop(path).result())
            except OSError as exc:
                yield Unreadable(path, exc.strerror or str(exc))
                continue
            yield Found(path, *entry.state) if is_image else Other(path, *entry.state)
