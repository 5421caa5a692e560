"""A folder as a user names it, to the part of the collection that it means."""

import os
from collections.abc import Iterator
from pathlib import Path

from indexer.catalogue import Catalogue
from indexer.changes import Scope, inside
from indexer.errors import QueryError

SEPARATOR = os.fsencode(os.sep)


def scopes_of(catalogue: Catalogue, folder: Path | str) -> list[Scope]:
    """What lies in `folder`: a path, or the name of any folder of the collection (`2024/Italy`).

    A path that exists counts as a path; anything else (and a relative path that holds no picture
    of the collection) as the last names of folders' paths, whatever their case.
    Raises QueryError where nothing of the collection lies there.
    """
    roots = catalogue.roots()
    found: list[Scope] = []
    if os.path.exists(folder):
        found = [scope for scope in _at_path(roots, folder) if _holds_pictures(catalogue, scope)]
    if not found and not (os.path.isabs(folder) and os.path.exists(folder)):
        found = list(_named(catalogue, roots, folder))
    if not found:
        raise QueryError(
            f"no indexed picture lies in {os.fspath(folder)!r}: name a folder's path, or the name "
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


def _holds_pictures(catalogue: Catalogue, scope: Scope) -> bool:
    condition, parameters = scope.condition
    row = catalogue.connection.execute(
        f"SELECT 1 FROM files WHERE {condition} AND content IS NOT NULL LIMIT 1", parameters
    ).fetchone()
    return row is not None


def _named(catalogue: Catalogue, roots: dict[int, bytes], folder: Path | str) -> Iterator[Scope]:
    wanted = _parts(os.fsencode(os.path.normpath(folder)))
    if not wanted or b".." in wanted:
        return
    seen: set[tuple[int, bytes]] = set()
    for root, path in catalogue.connection.execute(
        "SELECT root, path FROM files WHERE content IS NOT NULL"
    ):
        below = os.path.dirname(path)
        while (root, below) not in seen:
            seen.add((root, below))
            names = _parts(os.path.join(roots[root], below))
            whole = os.path.isabs(folder) and len(names) != len(wanted)
            if names[-len(wanted) :] == wanted and not whole:
                yield Scope(root, Path(os.fsdecode(roots[root])), below)
            below = os.path.dirname(below)


def _parts(path: bytes) -> list[bytes]:
    """The names in a path, for comparing without regard to case."""
    text = path.decode("utf-8", "surrogateescape").casefold()
    return [part.encode("utf-8", "surrogateescape") for part in text.split(os.sep) if part]
