"""Reading one file, wherever it is."""

import errno
import os

from indexer.errors import ImageError, ImageUnreadable, RootUnavailable
from indexer.images.decode import Limits, check_size, read_file
from indexer.store.paths import is_url
from indexer.store.records import file_time
from indexer.store.rows import Task

from .source import State


def read_task(task: Task, limits: Limits) -> tuple[State, bytes]:
    """Read a file that a scan has found.

    Returns:
        The file's state as it was before reading, and its bytes.

    Raises:
        ImageError: The file is too large or not a regular one; the text is the reason.
        ImageUnreadable: Its bytes cannot be had.
    """
    if not is_url(task.folder):
        info, data = read_file(task.location, limits)
        return State(info.st_size, file_time(info)), data
    return _read(task.folder, task.path, State(task.size, task.mtime_ns), limits)


def read_location(location: bytes, limits: Limits) -> bytes:
    """Read a file by its absolute path or URL.

    Raises:
        ImageError: The file is too large or not a regular one; the text is the reason.
        ImageUnreadable: Its bytes cannot be had.
    """
    if not is_url(location):
        return read_file(location, limits)[1]
    from .opened import open_source
    from .url import Url

    try:
        url = Url.parse(location)
        folder, below = (url.root, url.below) if url.archive else os.path.split(url.root)
        found = open_source(folder, current=True).entry(below)
    except RootUnavailable as exc:
        raise ImageUnreadable(str(exc)) from exc
    except OSError as exc:
        raise _unreadable(exc) from exc
    if found.state is None:
        raise ImageError("not a regular file")
    return _read(folder, below, found.state, limits)[1]


def _read(root: bytes, below: bytes, state: State, limits: Limits) -> tuple[State, bytes]:
    from .opened import open_source

    check_size(state.size, limits)
    # A byte more than there should be shows that there are more by now.
    length = (limits.max_bytes if state.size < 0 else state.size) + 1
    try:
        data = open_source(root).read(below, length) if state.size else b""
    except RootUnavailable as exc:
        raise ImageUnreadable(str(exc)) from exc
    except OSError as exc:
        raise _unreadable(exc) from exc
    check_size(len(data), limits)
    if len(data) != state.size >= 0:
        raise ImageUnreadable("cannot be read: it has changed since the folder was read")
    return state, data


def _unreadable(exc: OSError) -> ImageUnreadable:
    missing = exc.errno == errno.ENOENT
    return ImageUnreadable(f"cannot be read: {'it is gone' if missing else exc.strerror or exc}")
