"""A root, or a part of it."""

import os
from dataclasses import dataclass
from pathlib import Path

SEPARATOR = os.fsencode(os.sep)


@dataclass(frozen=True)
class Scope:
    """A root, or the part of it `below` a relative path, that one run looks at."""

    root: int
    location: Path
    below: bytes = b""

    @property
    def condition(self) -> tuple[str, tuple[object, ...]]:
        """SQL that holds for the files of this scope, and its parameters."""
        if not self.below:
            return "root = ?", (self.root,)
        inside = self.below + SEPARATOR
        behind = self.below + bytes([SEPARATOR[0] + 1])
        return (
            "root = ? AND (path = ? OR (path >= ? AND path < ?))",
            (self.root, self.below, inside, behind),
        )


def inside(folder: bytes, path: bytes) -> bytes | None:
    """`path` relative to `folder`, both absolute: empty for the folder itself, None outside it."""
    if path == folder:
        return b""
    prefix = folder.rstrip(SEPARATOR) + SEPARATOR
    return path[len(prefix) :] if path.startswith(prefix) else None
