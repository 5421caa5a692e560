"""Sidecars on disk: read as they are, and replaced whole or not at all."""

import os
import shutil
import stat
import time
from contextlib import suppress
from dataclasses import dataclass

from indexer.errors import SidecarError

# Above what darktable and Lightroom write for a photo with many masks.
MAX_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Kept:
    """What a sidecar was, enough to make it again. mode: its permissions."""

    data: bytes
    mtime_ns: int
    mode: int


def read(path: bytes) -> Kept | None:
    """A sidecar; None where there is none.

    Raises SidecarError for a link, a folder, a device or a file above 16 MiB, and OSError.
    """
    try:
        info = os.lstat(path)
        if stat.S_ISLNK(info.st_mode):
            raise SidecarError("a symbolic link: what it leads to may belong to something else")
        if not stat.S_ISREG(info.st_mode):
            raise SidecarError("a folder or device of that name is in the way")
        # Not through a link, nor waiting for a pipe, that may have taken its place since.
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            info = os.fstat(file.fileno())
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    if len(data) > MAX_BYTES:
        raise SidecarError(f"above {MAX_BYTES // 2**20} MiB, which no sidecar is")
    return Kept(data, info.st_mtime_ns, stat.S_IMODE(info.st_mode))


def replace(
    path: bytes, data: bytes, temporary: bytes, *, mode: int | None, mtime_ns: int | None = None
) -> None:
    """Write a file durably: to `temporary`, a name in the same folder, which is then renamed.

    mode: None for a file that is new; else the one that is there passes on its owner and extended
    attributes, as far as this user may give them. mtime_ns: None for now. Raises OSError, the
    file and its folder being as before.
    """
    beside = os.path.join(os.path.dirname(path), temporary)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if mode is not None:
                before = os.stat(path)
                with suppress(PermissionError):
                    os.chown(file.fileno(), before.st_uid, before.st_gid)
                shutil.copystat(path, beside)
                os.chmod(file.fileno(), mode)
                changed = time.time_ns() if mtime_ns is None else mtime_ns
                os.utime(file.fileno(), ns=(before.st_atime_ns, changed))
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(beside)
        raise
    sync_folder(os.path.dirname(path))


def sync_folder(folder: bytes) -> None:
    """Make a rename durable, where the file system can; it has happened in any case."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def reason_of(exc: OSError | SidecarError) -> str:
    """One line for a report, without the path, which stands beside it."""
    return (isinstance(exc, OSError) and exc.strerror) or str(exc)
