"""The rows of a collection, as the rest of clipdex sees them."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from indexer.errors import CollectionFormatError, ModelError

from .paths import is_absolute

SEPARATOR = os.fsencode(os.sep)
# What SQLite can hold. File systems and people name more: the year 2300, in nanoseconds.
MAX_INTEGER = 2**63 - 1


# What may become a file's name. Bundles' fingerprints are 32 hex digits; other encoders choose.
FINGERPRINT = re.compile(r"[0-9A-Za-z_-]{1,64}")
MAX_DIM = 65_536


@dataclass(frozen=True)
class Model:
    """An encoder whose vectors a collection holds.

    Raises:
        ModelError: The fingerprint could lead out of a folder, or the length is none.
    """

    fingerprint: str
    name: str
    dim: int

    def __post_init__(self) -> None:
        if not isinstance(self.fingerprint, str) or not FINGERPRINT.fullmatch(self.fingerprint):
            raise ModelError(
                f"{self.fingerprint!r} is not a fingerprint: it has 1 to 64 letters, digits, - or _"
            )
        if not isinstance(self.dim, int) or not 0 < self.dim <= MAX_DIM:
            raise ModelError(f"{self.dim!r} is not the length of a model's vectors")


@dataclass(frozen=True)
class Content:
    """The bytes of one image, and the files that hold them.

    Attributes:
        id: Its number, never used again.
        digest: The content hash.
        paths: Absolute paths as raw bytes, oldest entry first.
        width: In pixels, upright.
        height: In pixels, upright.
        file_times: When each file last changed, in nanoseconds since 1970 UTC.
        capture_seconds: When the photo was taken, where it says so: seconds of that place's wall
            clock since 1970, as if that were UTC.
        capture_offset: Minutes of that wall clock east of UTC, where the photo says so.
    """

    id: int
    digest: bytes
    paths: tuple[bytes, ...]
    width: int
    height: int
    file_times: tuple[int, ...]
    capture_seconds: int | None
    capture_offset: int | None


@dataclass(frozen=True)
class VectorFile:
    """A FAISS file that was written completely.

    Attributes:
        generation: The last commit whose vectors it holds.
        vectors: How many it holds.
        size: In bytes.
        digests: The checksums of its blocks, as `vector_file.digests_of` makes them; None where an
            older clipdex wrote it, so that it cannot be checked.
    """

    generation: int
    vectors: int
    size: int
    digests: bytes | None = None


@dataclass(frozen=True)
class CodesFile:
    """A FAISS file of codes that was written completely.

    Attributes:
        generation: That of the vector file whose vectors it stands for.
        vectors: How many codes it holds.
        trained: How many vectors there were when its lists were made.
        size: In bytes.
        digests: The checksums of its blocks.
        probes: In how many lists a query is looked for.
        depth: How many candidates are scored for each wanted vector.
        text_recall: The share of the ten best vectors that text queries found then.
        image_recall: The share that image queries found.
    """

    generation: int
    vectors: int
    trained: int
    size: int
    digests: bytes
    probes: int
    depth: int
    text_recall: float
    image_recall: float


IndexKind = Literal["auto", "exact", "approximate"]


@dataclass(frozen=True)
class IndexOptions:
    """How a collection's vectors are to be searched.

    Attributes:
        kind: "exact" scores every vector, "approximate" those that codes propose; "auto" chooses by
            their number.
        recall: The share of the ten best vectors that codes have to propose.
    """

    kind: IndexKind = "auto"
    recall: float = 0.99


@dataclass(frozen=True)
class OwnIndex:
    """How a store finds vectors by itself, where no files of clipdex do.

    Attributes:
        kind: "flat" scores every vector, "hnsw" those that a graph leads to.
        text_recall: The share of the ten best vectors that text queries found when it was measured.
        image_recall: The share that image queries found.
    """

    kind: str
    text_recall: float = 1.0
    image_recall: float = 1.0


@dataclass(frozen=True)
class Shard:
    """A share of all files, so that several machines index one folder, each into its own place.

    Attributes:
        number: Which share, from 1.
        count: How many shares there are.
    """

    number: int
    count: int

    def holds(self, path: bytes) -> bool:
        """Return whether the share has a file, by its path relative to its root."""
        from blake3 import blake3

        drawn = int.from_bytes(blake3(path).digest(length=8), "big")
        return drawn % self.count == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


@dataclass(frozen=True)
class Scope:
    """A root, or the part of it `below` a relative path.

    Attributes:
        root: The root's id.
        location: Its absolute path, or its URL.
        below: Relative to it.
    """

    root: int
    location: bytes
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
class Words:
    """Words that follow each other in the path of a file, in any case and with any accents.

    Attributes:
        text: The words, with anything but letters and digits between them.
        place: Where they stand: in the file's own name, or in the folders above it, the root's own
            name included.
        whole: Whether the last one has to be a whole word, and not the beginning of one.
    """

    text: str
    place: Literal["name", "folder"]
    whole: bool = False


@dataclass(frozen=True)
class FileConditions:
    """Conditions that one file of an image has to meet together.

    Attributes:
        scopes: It lies in one of these; anywhere where there are none.
        since: The image was taken then or later.
        until: The image was taken earlier.
        words: Its path has each of these.
    """

    scopes: Sequence[Scope] = ()
    since: Moment | None = None
    until: Moment | None = None
    words: Sequence[Words] = ()


def inside(folder: bytes, path: bytes) -> bytes | None:
    """Return `path` relative to `folder`: empty for the folder itself, None outside it."""
    if path == folder:
        return b""
    prefix = folder.rstrip(SEPARATOR) + SEPARATOR
    return path[len(prefix) :] if path.startswith(prefix) else None


def join(root: bytes, path: bytes) -> bytes:
    """Return the absolute path of a file of a root, or of the root itself.

    Raises:
        CollectionFormatError: It would lie elsewhere: no scan finds such a path.
    """
    if not path:
        return root
    joined = os.path.join(root, path)  # an absolute path would take the root's place
    # Most paths hold no two dots at all, and are not split.
    climbs = b".." in path and b".." in path.split(SEPARATOR)
    if climbs or b"\0" in path or len(joined) < len(root) + len(path) or not _is_absolute(root):
        raise CollectionFormatError(
            f"the catalog is damaged or was not written by clipdex: it holds the path {path!r} in "
            f"the folder {os.fsdecode(root)}. Restore it from a backup, or index the photos into "
            "another folder with --collection"
        )
    return joined


@lru_cache(maxsize=256)
def _is_absolute(root: bytes) -> bool:
    return is_absolute(root)


def file_time(info: os.stat_result) -> int:
    """Return when a file last changed, in nanoseconds since 1970 UTC, as far as SQLite counts."""
    return max(-MAX_INTEGER, min(info.st_mtime_ns, MAX_INTEGER))
