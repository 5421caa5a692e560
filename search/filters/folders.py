"""Finds the part of a collection that a user means by a folder."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.errors import QueryError, RootUnavailable
from indexer.store.paths import comparable, display, is_url
from indexer.store.records import SEPARATOR, Scope, inside

if TYPE_CHECKING:  # loads NumPy, which a request to a running server does not need
    from indexer.store.protocol import StoreReader


def scopes_of(catalog: "StoreReader", folder: Path | str) -> list[Scope]:
    """Return the scopes that lie in a folder.

    Args:
        catalog: The collection's catalog.
        folder: A path if it exists. Otherwise, or if it is a relative path without images of the
            collection, the last names of folders' paths in any case (`2024/Italy`). A URL is not
            asked for.

    Raises:
        QueryError: No image of the collection lies there.
    """
    roots = catalog.roots()
    found: list[Scope] = []
    if is_url(os.fsencode(folder)):
        return _at_url(catalog, roots, folder)
    if os.path.exists(folder):
        found = [scope for scope in _at_path(roots, folder) if catalog.holds_images(scope)]
    if not found and not (os.path.isabs(folder) and os.path.exists(folder)):
        found = list(_named(catalog, roots, folder))
    if not found:
        raise QueryError(
            f"there is no indexed image in {os.fspath(folder)!r}: give the path of a folder, or "
            "the name of one below an indexed folder (`clipdex status` lists those)"
        )
    return found


def _at_url(catalog: "StoreReader", roots: dict[int, bytes], folder: Path | str) -> list[Scope]:
    """Return the scopes at a URL.

    Raises:
        QueryError: No image of the collection lies there.
    """
    from indexer.sources.url import canonical  # few searches name one

    try:
        here = canonical(os.fsencode(folder))
    except RootUnavailable as exc:
        raise QueryError(str(exc)) from exc
    found = []
    for number, root in roots.items():
        below = inside(root, here)
        if below is not None or inside(here, root) is not None:
            found.append(Scope(number, root, below or b""))
    found = [scope for scope in found if catalog.holds_images(scope)]
    if not found:
        raise QueryError(
            f"there is no indexed image in {display(here)}: `clipdex status` lists what is indexed"
        )
    return found


def content_at(catalog: "StoreReader", url: Path | str) -> int | None:
    """Return the content that a collection knows of an image at a URL; None where it knows none."""
    from indexer.sources.url import canonical

    try:
        here = canonical(os.fsencode(url))
    except RootUnavailable:
        return None
    for number, root in catalog.roots().items():
        below = inside(root, here)
        held = catalog.contents_in(Scope(number, root, below)) if below else []
        if len(held) == 1 and here in {file.path for file in catalog.files_of(held[0])}:
            return held[0]
    return None


def _at_path(roots: dict[int, bytes], folder: Path | str) -> Iterator[Scope]:
    """Yield the scopes at a path.

    Roots are stored with links followed, but paths below them under the names of links. So each
    folder above the path may be a root.
    """
    path = os.fsencode(os.path.abspath(folder))
    real = os.path.realpath(path)
    rest = b""
    while True:
        here = os.path.realpath(path)
        for number, root in roots.items():
            if root == here:
                yield Scope(number, root, rest)
        above, name = os.path.split(path)
        if above == path:
            break
        path, rest = above, os.path.join(name, rest) if rest else name
    for number, root in roots.items():
        below = inside(root, real)
        if below is not None or inside(real, root) is not None:
            yield Scope(number, root, below or b"")


def _named(catalog: "StoreReader", roots: dict[int, bytes], folder: Path | str) -> Iterator[Scope]:
    wanted = _parts(os.fsencode(os.path.normpath(folder)))
    if not wanted or b".." in wanted:
        return
    folders = {(root, b"") for root in roots}
    for root, path in catalog.files_below(wanted[-1]):
        folders.add((root, path.rpartition(SEPARATOR)[0]))
    pending = list(folders)
    while pending:  # add the folders that these lie in
        root, below = pending.pop()
        above = root, below.rpartition(SEPARATOR)[0]
        if above not in folders:
            folders.add(above)
            pending.append(above)
    for root, below in sorted(folders):
        names = _parts(os.path.join(roots[root], below))
        whole = len(names) == len(wanted) or not os.path.isabs(folder)
        if whole and names[-len(wanted) :] == wanted:
            yield Scope(root, roots[root], below)


def _parts(path: bytes) -> list[bytes]:
    """Return the names in a path in lower case, with accents encoded in one way."""
    text = comparable(path).lower()
    return [part.encode("utf-8", "surrogateescape") for part in text.split(os.sep) if part]
