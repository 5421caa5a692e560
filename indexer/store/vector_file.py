"""The file of a FAISS index in half precision: its layout, its checksums, and what it may hold.

FAISS believes what stands in a file: a wrong length makes it ask for that much memory. So nothing
is given to it whose first bytes are not exactly those of an index of the expected size, and whose
blocks do not have the checksums that the catalog holds.
"""

import mmap
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blake3 import blake3

from indexer.errors import CollectionFormatError

from . import checked_files
from .collection import Collection
from .protocol import StoreReader
from .records import FINGERPRINT, Model

if TYPE_CHECKING:
    from .codec import Halves, Ids

# Bytes a checksum stands for, and of a checksum. Large, since after each block the thread has to
# wait for its turn with the one that loads the encoder.
BLOCK = 1 << 26
DIGEST = 16
# FAISS's numbers for what the index is made of: half precision, inner products.
QT_FP16, METRIC_INNER_PRODUCT = 4, 0
UNUSED = 1 << 20
# All of a file is read, so that its pages are mapped at once where that is possible.
_MAPPING: dict[str, Any] = (
    {"flags": mmap.MAP_SHARED | mmap.MAP_POPULATE, "prot": mmap.PROT_READ}
    if hasattr(mmap, "MAP_POPULATE")
    else {"access": mmap.ACCESS_READ}
)

# What `fault` found, for the files that it looked at last.
MAX_KNOWN = 8
_known: dict[tuple[Path, tuple[int, ...] | None, int, int, bytes], str | None] = {}
_looking = threading.Lock()


def vector_path(collection: Collection, fingerprint: str, generation: int) -> Path:
    """Return the path of a FAISS file; files of another kind have other names.

    Raises:
        CollectionFormatError: It would not lie in the collection.
    """
    return _inside(collection, fingerprint, f"{generation:d}.fp16.faiss")


def codes_path(collection: Collection, fingerprint: str, generation: int) -> Path:
    """Return the path of the codes of such a file.

    Raises:
        CollectionFormatError: It would not lie in the collection.
    """
    return _inside(collection, fingerprint, f"{generation:d}.codes.faiss")


def _inside(collection: Collection, fingerprint: str, name: str) -> Path:
    if not FINGERPRINT.fullmatch(fingerprint) or collection.vectors.is_symlink():
        raise CollectionFormatError(
            f"{collection.vectors} leads out of the collection, where clipdex writes and removes "
            "nothing: it was not made by clipdex. Index into another folder with --collection"
        )
    return collection.vectors / f"{fingerprint}-{name}"


def header(count: int, dim: int) -> bytes:
    """Return how the file of `count` vectors of `dim` components begins; the vectors follow."""
    common = struct.pack("<iqqq?i", dim, count, UNUSED, UNUSED, True, METRIC_INNER_PRODUCT)
    quantizer = struct.pack("<iifQQQ", QT_FP16, 0, 0.0, dim, 2 * dim, 0)
    codes = struct.pack("<Q", 2 * dim * count)
    return b"IxMp" + common + b"IxSQ" + common + quantizer + codes


def size_of(count: int, dim: int) -> int:
    """Return the size of such a file: header, vectors, the number of ids, and the ids."""
    return len(header(count, dim)) + count * (2 * dim + 8) + 8


def write(path: Path, ids: "Ids", halves: "Halves") -> None:
    """Write an index, as FAISS does; with an error that says what is wrong if it cannot.

    Raises:
        OSError: The file cannot be written.
    """
    with open(path, "wb") as file:
        file.write(header(*halves.shape))
        for start in range(0, len(halves), 16_384):
            file.write(halves[start : start + 16_384].astype("<f2", copy=False).tobytes())
        file.write(struct.pack("<Q", len(ids)))
        file.write(ids.astype("<i8", copy=False).tobytes())


def digests_of(path: Path) -> bytes:
    """Return the checksums of a file's blocks, one after the other.

    Raises:
        OSError: The file cannot be read.
    """
    found = []
    with _mapped(path) as view:
        for start in range(0, len(view), BLOCK):
            found.append(blake3(view[start : start + BLOCK]).digest(length=DIGEST))
    return b"".join(found)


def fault(path: Path, count: int, dim: int, digests: bytes) -> str | None:
    """Return what is wrong with a file that should hold `count` vectors; None if nothing is.

    A file that was looked at before in this process, and not touched since, is not read again.
    """
    with _looking:
        key = path, state(path), count, dim, digests
        if key not in _known:
            while len(_known) >= MAX_KNOWN:
                del _known[next(iter(_known))]
            _known[key] = _fault(path, count, dim, digests)
        return _known[key]


def damage(path: Path, size: int, digests: bytes) -> str | None:
    """Return what is wrong with a file of any kind that should have these checksums."""
    try:
        found = path.stat().st_size
        if found != size:
            return f"has {found:,} bytes instead of {size:,}"
        before = state(path)
        if checked_files.is_known(path, before, digests):
            return None
        if digests_of(path) != digests:
            return "is damaged: its checksums are wrong"
        if state(path) == before:
            checked_files.remember(path, before, digests)
    except FileNotFoundError:
        return "is missing"
    except OSError as exc:
        return f"cannot be read ({exc.strerror or exc})"
    return None


def check_ahead(collection: Collection, catalog: StoreReader, model: Model) -> None:
    """Look at the published file, so that `fault` knows it already: it takes time, and no FAISS."""
    for file in catalog.vector_files(model.fingerprint)[:1]:
        if file.digests is not None:
            path = vector_path(collection, model.fingerprint, file.generation)
            fault(path, file.vectors, model.dim, file.digests)


def _fault(path: Path, count: int, dim: int, digests: bytes) -> str | None:
    with suppress(OSError), open(path, "rb") as file:
        start = header(count, dim)
        if path.stat().st_size == size_of(count, dim) and file.read(len(start)) != start:
            return "does not begin as an index of its size does"
    return damage(path, size_of(count, dim), digests)


def state(path: Path) -> tuple[int, ...] | None:
    """Return what changes when a file does; None where there is none."""
    with suppress(OSError):
        info = path.stat()
        return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns
    return None


@contextmanager
def _mapped(path: Path) -> Iterator[memoryview]:
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, **_MAPPING) as mapped,
        memoryview(mapped) as view,
    ):
        yield view
