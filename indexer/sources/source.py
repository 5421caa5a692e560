"""What a scan and the decoders need of a place that is no folder of this machine.

Folders are walked and read by the system's own calls (`scan.walk`, `images.decode`); whatever else
there is fulfils `Source`, and is chosen by the root in `opened.open_source`.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from indexer.store.content_hash import digest
from indexer.store.records import MAX_INTEGER

from .trouble import ATTEMPTS

SECOND = 10**9


class State(NamedTuple):
    """By what an unchanged file is known: as (size, mtime_ns) of a file on a drive."""

    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Entry:
    """Something in a source.

    Attributes:
        name: Its own name.
        state: Of a file; a size of -1 where the source does not say it. None for a folder.
        reason: Why it cannot be read, where that is known already.
    """

    name: bytes
    state: State | None = None
    reason: str | None = None


class Source(Protocol):
    """One root that is not a folder; its methods may be called from any thread.

    Paths are relative to the root, with the system's separator, and empty for the root itself.
    Each method raises OSError where the place cannot be read, after some tries where that may help;
    its `strerror` is for people and holds no credentials.
    """

    def entry(self, below: bytes) -> Entry:
        """Return what is at a path."""

    def entries(self, below: bytes) -> list[Entry]:
        """Return what is in a folder, in any order."""

    def read(self, below: bytes, length: int, *, attempts: int = ATTEMPTS) -> bytes:
        """Return the first bytes of a file, at most `length` of them.

        Args:
            below: The file.
            length: How many.
            attempts: How often to try it.
        """


def state_of(size: int, seconds: float | None, tag: bytes) -> State:
    """Return a file's state.

    The nanoseconds of its time are made of what else tells two versions of it apart. Without a time
    it lies on the first day of 1970.

    Args:
        size: In bytes.
        seconds: When it last changed, since 1970 UTC.
        tag: An ETag, a checksum or the like; empty where there is none.
    """
    whole = int(seconds or 0) * SECOND
    number = int.from_bytes(digest(tag)[:8], "big") if tag else 0
    if seconds is None:
        within = number % (86_400 * SECOND)
    else:
        within = number % SECOND if tag else int(seconds % 1 * SECOND)
    return State(size, max(-MAX_INTEGER, min(whole + within, MAX_INTEGER)))
