"""Reading one file: its bytes, their hash, the image in them, and the model's pixels of it.

Also what comes out of a pipeline: files that were read, and batches of them with their vectors.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from indexer.encoder import Embeddings, Pixels
from indexer.errors import ImageError, ImageUnreadable
from indexer.images.decode import Limits, prepare
from indexer.images.metadata.camera import UNKNOWN, Camera
from indexer.images.metadata.capture_time import CaptureTime
from indexer.images.metadata.date_in_name import date_in_name
from indexer.images.preprocess import Preprocess
from indexer.sources.reading import read_task
from indexer.sources.source import State
from indexer.store.content_hash import digest
from indexer.store.rows import Task

Known = Callable[[bytes], bool]
"""Whether the content with this hash has a vector already."""

Fetch = Callable[[], tuple[State, bytes]]
"""Return a file's state and bytes, as `read_task` does, which has perhaps begun already."""


@dataclass(frozen=True)
class Read:
    """A file that was read, its size and time as they were before reading.

    Both are -1 where its bytes could not be had, so that the next run reads it.

    Exactly one holds: `reason` says why it failed; `pixels` is `(3, h, w)` uint8; or both are
    None and the collection has a vector of this `digest` already.
    """

    task: Task
    size: int
    mtime_ns: int
    digest: bytes = b""
    pixels: Pixels | None = None
    width: int = 0
    height: int = 0
    format: str = ""
    captured: CaptureTime | None = None
    camera: Camera = UNKNOWN
    thumbnail: bytes = b""
    note: str | None = None
    reason: str | None = None

    @property
    def encoded(self) -> bool:
        """Whether an image was decoded, so that a vector of it was or will be made."""
        return bool(self.thumbnail)


@dataclass(frozen=True)
class Batch:
    """What can be committed together: files, and the vectors `(n, dim)` of the new contents.

    `files` are in order; `vectors[i]` belongs to `fresh[i]`, each of a different digest.
    """

    files: list[Read]
    fresh: list[Read] = field(default_factory=list)
    vectors: Embeddings | None = None


@dataclass(frozen=True)
class Reading:
    """What is done to each task; can be sent to another process where `known` can.

    Attributes:
        known: Whether a content's vector is committed, so that nothing has to be decoded.
    """

    preprocess: Preprocess
    limits: Limits
    known: Known

    def __call__(self, task: Task, fetch: Fetch | None = None) -> Read:
        """Read, hash and decode one file; whatever is wrong with it becomes the reason."""
        return read(task, self.preprocess, self.limits, self.known, fetch)


def read(
    task: Task, preprocess: Preprocess, limits: Limits, known: Known, fetch: Fetch | None = None
) -> Read:
    """Read, hash and decode one file; whatever is wrong with it becomes the reason.

    Args:
        task: The file.
        preprocess: The model's settings.
        limits: The largest file and image to read.
        known: Whether a content has a vector by now.
        fetch: Returns its bytes, where they are being read already.
    """
    try:
        state, data = read_task(task, limits) if fetch is None else fetch()
        key = digest(data)
        if known(key):
            return Read(task, *state, key)
        found = prepare(data, limits, preprocess, name=task.path)
        return Read(
            task,
            *state,
            key,
            found.pixels,
            found.width,
            found.height,
            found.format,
            found.captured or date_in_name(task.path),
            found.camera,
            found.thumbnail,
            "; ".join(found.notes) or None,
        )
    except ImageUnreadable as exc:
        return Read(task, -1, -1, reason=str(exc))
    except (ImageError, MemoryError) as exc:
        reason = str(exc) or "too large for this machine's memory"
        return Read(task, task.size, task.mtime_ns, reason=reason)
