"""The rows of a collection, as the rest of clipdex sees them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SEPARATOR = os.fsencode(os.sep)


@dataclass(frozen=True)
class Model:
    """An encoder whose vectors a collection holds."""

    fingerprint: str
    name: str
    dim: int


@dataclass(frozen=True)
class Content:
    """The bytes of one image, and the files that hold them.

    Attributes:
        id: Its number, never used again.
        paths: Absolute paths as raw bytes, oldest entry first.
        width: In pixels, upright.
        height: In pixels, upright.
        file_times: When each file last changed, in nanoseconds since 1970 UTC.
        capture_seconds: When the photo was taken, where it says so: seconds of that place's wall
            clock since 1970, as if that were UTC.
        capture_offset: Minutes of that wall clock east of UTC, where the photo says so.
    """

    id: int
    paths: tuple[bytes, ...]
    width: int
    height: int
    file_times: tuple[int, ...]
    capture_seconds: int | None
    capture_offset: int | None


@dataclass(frozen=True)
class NewContent:
    """What is stored of an image when it is encoded.

    Attributes:
        digest: The content hash, 16 bytes.
        format: As Pillow names it.
        vector: `(dim,)` float16 as bytes, of unit norm.
        thumbnail: 32 x 32 gray levels, row by row.
    """

    digest: bytes
    width: int
    height: int
    format: str
    capture_seconds: int | None
    capture_offset: int | None
    thumbnail: bytes
    vector: bytes


@dataclass(frozen=True)
class StoredFile:
    """A file that holds a content; `path` is absolute, `size` in bytes."""

    path: bytes
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class FileRow:
    """What came of one file: a content, or the reason why there is none.

    Attributes:
        root: The id of the root that holds it.
        path: Relative to the root.
        size: In bytes; -1 where it could not be asked for.
        mtime_ns: When it last changed, in nanoseconds since 1970 UTC; -1 as above.
    """

    root: int
    path: bytes
    size: int
    mtime_ns: int
    content: int | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Task:
    """A file to read, as the scan saw it; `path` is relative to `folder`, the root's own path."""

    root: int
    folder: bytes
    path: bytes
    size: int
    mtime_ns: int

    @property
    def location(self) -> bytes:
        """The absolute path."""
        return os.path.join(self.folder, self.path)


@dataclass(frozen=True)
class SavedLabel:
    """A label that a collection keeps.

    Attributes:
        content: An id.
        probability: 1 for the user's own.
        origin: "user", or "head:NAME".
    """

    content: int
    label: str
    probability: float
    origin: str


@dataclass(frozen=True)
class VectorFile:
    """A FAISS file that was written completely.

    Attributes:
        generation: The last commit whose vectors it holds.
        vectors: How many it holds.
        size: In bytes.
    """

    generation: int
    vectors: int
    size: int


@dataclass(frozen=True)
class Scope:
    """A root, or the part of it `below` a relative path."""

    root: int
    location: Path
    below: bytes = b""

    def holds(self, root: int, path: bytes) -> bool:
        """Return whether a file of the collection lies in this scope."""
        return root == self.root and (not self.below or inside(self.below, path) is not None)


@dataclass(frozen=True)
class Moment:
    """A point in time, to be compared with wall clocks and with instants.

    Attributes:
        wall: Seconds since 1970 on the wall clock, as if that were UTC.
        instant: Seconds since 1970 UTC.
        zoned: Whether the zone was named, so that instants are compared; otherwise wall clocks.
    """

    wall: int
    instant: int
    zoned: bool


@dataclass(frozen=True)
class FileConditions:
    """Conditions that one file of an image has to meet together.

    Attributes:
        scopes: It lies in one of these; anywhere where there are none.
        since: The image was taken then or later.
        until: The image was taken earlier.
    """

    scopes: Sequence[Scope] = ()
    since: Moment | None = None
    until: Moment | None = None


def inside(folder: bytes, path: bytes) -> bytes | None:
    """Return `path` relative to `folder`: empty for the folder itself, None outside it."""
    if path == folder:
        return b""
    prefix = folder.rstrip(SEPARATOR) + SEPARATOR
    return path[len(prefix) :] if path.startswith(prefix) else None


def join(root: bytes, path: bytes) -> bytes:
    """Return the absolute path of a file of a root."""
    return os.path.join(root, path)
