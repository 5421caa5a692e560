"""Rows of a collection that only some questions and every index run need.

Apart from `records`, since a search from the command line pays for each class that it loads.
"""

from dataclasses import dataclass

from .records import join


@dataclass(frozen=True)
class NewContent:
    """What is stored of an image when it is encoded.

    Attributes:
        digest: The content hash, 16 bytes.
        format: As Pillow names it.
        vector: `(dim,)` float16 as bytes, of unit norm.
        thumbnail: 32 x 32 gray levels, row by row.
        note: What is not as usual about the image, though it was read; notes are joined by "; ".
        camera: The body and the lens that it was taken with, each empty where the file does not
            say; None where nobody has looked.
    """

    digest: bytes
    width: int
    height: int
    format: str
    capture_seconds: int | None
    capture_offset: int | None
    thumbnail: bytes
    vector: bytes
    note: str | None = None
    camera: tuple[str, str] | None = None


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
        mtime_ns: When it last changed, in nanoseconds since 1970 UTC; -1 as above. Times before
            1677 and after 2262, which file systems hold and the catalog does not, are cut.
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
        return join(self.folder, self.path)


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
class Exclusion:
    """Something that scans leave out.

    Attributes:
        base: The folder that `pattern` is counted from; empty for every root.
        pattern: By gitignore's rules; of origin "forget", an absolute path.
        origin: "exclude" or "forget".
    """

    base: bytes
    pattern: bytes
    origin: str
