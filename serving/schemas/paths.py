"""How much of a path clients see."""

import os
from collections.abc import Iterable
from pathlib import Path

from indexer.store.paths import display, path_fields


class PathView:
    """Shows paths relative to their roots, or whole where clients may know them.

    Args:
        roots: Absolute paths of the indexed folders.
        whole: Whether to show whole paths.
    """

    def __init__(self, roots: Iterable[bytes], *, whole: bool) -> None:
        self._roots = sorted((root.rstrip(b"/") + b"/" for root in roots), key=len, reverse=True)
        self._whole = whole

    def covers(self, path: bytes) -> bool:
        """Return whether an absolute path lies below one of the roots."""
        return any(path.startswith(root) for root in self._roots)

    def text(self, path: bytes) -> str:
        """Return what a client sees of an absolute path."""
        return display(self._visible(path))

    def fields(self, path: bytes) -> dict[str, str]:
        """Return `path`, and `path_b64` where the text does not carry the bytes."""
        return path_fields(self._visible(path))

    def _visible(self, path: bytes) -> bytes:
        if self._whole:
            return path
        for root in self._roots:
            if path.startswith(root):
                return path[len(root) :]
        return os.path.basename(path)


class FolderNames:
    """Names folders without saying where they lie, or whole where clients may know that.

    Args:
        folders: Absolute paths of folders, each known to clients by its own name.
        whole: Whether to show whole paths.
    """

    def __init__(self, folders: Iterable[Path], *, whole: bool) -> None:
        self._folders = sorted(set(folders), key=lambda folder: len(str(folder)), reverse=True)
        self._whole = whole

    def text(self, text: str) -> str:
        """Return a text, such as a path or an error, with each of the folders by its name."""
        if self._whole:
            return text
        for folder in self._folders:
            if folder.name:
                text = text.replace(str(folder), folder.name)
        return text
