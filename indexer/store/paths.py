"""Paths as text: for people, and in JSON."""

import base64
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # brings NumPy, which hits that come from a server do not need
    pass


def display(path: bytes) -> str:
    """Return a path as text for people; bytes that are not UTF-8 become U+FFFD."""
    return path.decode("utf-8", "replace")


def path_fields(path: bytes) -> dict[str, str]:
    """Return `path` for people, and `path_b64` with the bytes if they differ."""
    text = display(path)
    if text.encode() == path:
        return {"path": text}
    return {"path": text, "path_b64": base64.b64encode(path).decode("ascii")}
