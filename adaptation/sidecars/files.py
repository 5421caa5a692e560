"""Reads sidecars, and replaces them as a whole or not at all."""

import os
import shutil
import stat
import time
from contextlib import suppress
from dataclasses import dataclass

from indexer.errors import SidecarError

# More than darktable and Lightroom write for a photo with many masks.
MAX_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Kept:
    """A sidecar as it was, so that it can be restored; `mode` is its permissions."""

    data: bytes
    mtime_ns: int
    mode: int


def read(path: bytes) -> Kept | None:
    """Read a sidecar; None where there is none.

    Raises:
        SidecarError: It is a link, a folder, a device or a file above 16 MiB.
        OSError: It cannot be read.
    """
    try:
        info = os.lstat(path)
        if stat.S_ISLNK(info.st_mode):
            raise SidecarError("a symbolic link, whose target may belong to something else")
        if not stat.S_ISREG(info.st_mode):
            raise SidecarError("a folder or device of that name is in the way")
        # Follow no link and wait for no pipe that may have replaced it since.
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
    """Write a file durably, first under a temporary name.

    Args:
        path: The file.
        data: Its new bytes.
        temporary: A name in the same folder.
        mode: The permissions; None for a new file. An existing file's owner and extended
            attributes are kept as far as this user may set them.
        mtime_ns: The time of change; None for now.

    Raises:
        OSError: The file cannot be written; it and its folder are unchanged.
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
    """Make a rename durable, where the file system supports that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def reason_of(exc: OSError | SidecarError) -> str:
    """Return one line for a report, which names the path itself."""
    return (isinstance(exc, OSError) and exc.strerror) or str(exc)
