"""Files that a user names: read whole, up to a limit, and without waiting for ever.

A pipe is a file like any other, so that a shell's `<(command)` and /dev/stdin work.
"""

import codecs
import errno
import os
import select
import stat
from contextlib import closing
from pathlib import Path

# Windows' editors begin files with one of these.
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
MAX_MEGABYTES = 64
# How long a pipe may wait for a program that opens it, and how long that may say nothing.
OPEN_SECONDS = 5
SILENT_SECONDS = 60
PART = 1 << 20


def read_text(file: Path, *, megabytes: int = MAX_MEGABYTES) -> str:
    """Return a text file's contents without a byte order mark.

    Raises:
        OSError: It cannot be read, is too large, or is a pipe that nothing comes from.
        UnicodeDecodeError: It is not text.
    """
    data = read_bytes(file, megabytes=megabytes)
    encoding = next((name for mark, name in BOMS if data.startswith(mark)), "utf-8")
    return data.decode(encoding)


def read_bytes(file: Path, *, megabytes: int = MAX_MEGABYTES, pipes: bool = True) -> bytes:
    """Return a file's contents.

    Args:
        file: A file, a pipe or a device.
        megabytes: The most that is read.
        pipes: Whether it may be something other than a regular file.

    Raises:
        OSError: It cannot be read, is too large, or is a pipe that nothing comes from.
    """
    # Otherwise a pipe that no program writes to would not even open. It means nothing to files.
    descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    with open(descriptor, "rb", buffering=0) as stream:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(file))
        if not stat.S_ISREG(mode) and not pipes:
            raise OSError(errno.EINVAL, "it is not a regular file", os.fspath(file))
        wait = _Wait(descriptor, file) if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) else None
        limit = megabytes * 1_000_000
        data = bytearray()
        while len(data) <= limit:
            if wait is not None:
                wait()
            part = stream.read(min(PART, limit + 1 - len(data)))
            if part:
                data += part
            elif part is not None:  # None: another reader was quicker
                return bytes(data)
    raise OSError(errno.EFBIG, f"it has more than {megabytes} MB", os.fspath(file))


class _Wait:
    """Waits until a pipe can be read or has ended.

    Raises:
        OSError: No program writes to it.
    """

    def __init__(self, descriptor: int, file: Path) -> None:
        self._descriptor, self._file = descriptor, os.fspath(file)
        self._endless = os.isatty(descriptor)  # whoever types there takes their time
        self._seconds = OPEN_SECONDS

    def __call__(self) -> None:
        if not hasattr(select, "epoll"):  # not Linux: `read` answers at once or says it is empty
            select.select([self._descriptor], [], [], SILENT_SECONDS)
            return
        with closing(select.epoll()) as epoll:
            try:
                # A pipe that nobody has opened yet has not "hung up"; one that has ended has.
                epoll.register(self._descriptor, select.EPOLLIN)
            except PermissionError:
                return  # a device that is always ready
            if not epoll.poll(-1 if self._endless else self._seconds):
                raise OSError(
                    errno.ETIMEDOUT, f"nothing came from it for {self._seconds} s", self._file
                )
        self._seconds = SILENT_SECONDS


_BINARY = getattr(os, "O_BINARY", 0)
