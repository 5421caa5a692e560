"""A folder as a user names it, to the part of the collection that it means."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.errors import QueryError
from indexer.store.records import SEPARATOR, Scope, inside

if TYPE_CHECKING:  # brings NumPy, which a request to a running server does not need
    from indexer.store.protocol import StoreReader


def scopes_of(catalog: "StoreReader", folder: Path | str) -> list[Scope]:
    """What lies in `folder`: a path, or the name of any folder of the collection (`2024/Italy`).

    A path that exists counts as a path; anything else (and a relative path that holds no image
    of the collection) as the last names of folders' paths, whatever their case.
    Raises QueryError where nothing of the collection lies there.
    """
    roots = catalog.roots()
    found: list[Scope] = []
    if os.path.exists(folder):
        found = [scope for scope in _at_path(roots, folder) if catalog.holds_images(scope)]
    if not found and not (os.path.isabs(folder) and os.path.exists(folder)):
        found = list(_named(catalog, roots, folder))
    if not found:
        raise QueryError(
            f"no indexed image lies in {os.fspath(folder)!r}: name a folder's path, or the name "
            "of a folder below an indexed one (`clipdex status` lists those)"
        )
    return found


def _at_path(roots: dict[int, bytes], folder: Path | str) -> Iterator[Scope]:
    """A root is stored with links followed, what lies below it as the scan met it: under the names
    of links. So each folder above the path is asked whether it is a root.
    """
    path = os.fsencode(os.path.abspath(folder))
    real = os.path.realpath(path)
    rest = b""
    while True:
        here = os.path.realpath(path)
        for number, root in roots.items():
            if root == here:
                yield Scope(number, Path(os.fsdecode(root)), rest)
        above, name = os.path.split(path)
        if above == path:
            break
        path, rest = above, os.path.join(name, rest) if rest else name
    for number, root in roots.items():
        below = inside(root, real)
        if below is not None or inside(real, root) is not None:
            yield Scope(number, Path(os.fsdecode(root)), below or b"")


def _named(catalog: "StoreReader", roots: dict[int, bytes], folder: Path | str) -> Iterator[Scope]:
    wanted = _parts(os.fsencode(os.path.normpath(folder)))
    if not wanted or b".." in wanted:
        return
    folders = {(root, b"") for root in roots}
    for root, path in catalog.files_below(wanted[-1]):
        folders.add((root, path.rpartition(SEPARATOR)[0]))
    pending = list(folders)
    while pending:  # and the folders that these lie in
        root, below = pending.pop()
        above = root, below.rpartition(SEPARATOR)[0]
        if above not in folders:
            folders.add(above)
            pending.append(above)
    for root, below in sorted(folders):
        names = _parts(os.path.join(roots[root], below))
        whole = len(names) == len(wanted) or not os.path.isabs(folder)
        if whole and names[-len(wanted) :] == wanted:
            yield Scope(root, Path(os.fsdecode(roots[root])), below)


def _parts(path: bytes) -> list[bytes]:
    """The names in a path, for comparing without regard to case."""
    text = path.decode("utf-8", "surrogateescape").lower()
    return [part.encode("utf-8", "surrogateescape") for part in text.split(os.sep) if part]
