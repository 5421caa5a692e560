"""A folder at another place, slow and failing as a bad drive or a bad network is.

usage: python -m scripts.torture.faulty_mount [--delay 0.05] [--fail 0.1] [--stall 0.01] [--seed 18]
                                              FOLDER MOUNT

Each read and write takes `--delay` seconds; of all calls, the share `--fail` ends with an
input/output error, and `--stall` takes some seconds. It needs FUSE, fusepy and its library:

    apt-get install libfuse2
    .venv/bin/python -m pip install --target ./fusepy fusepy
    PYTHONPATH=./fusepy .venv/bin/python -m scripts.torture.slow_files
"""

import argparse
import errno
import importlib.util
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STALL_SECONDS = 3.0
START_SECONDS = 30
ATTRIBUTES = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_ino")
TIMES = ("st_atime", "st_mtime", "st_ctime")


@dataclass(frozen=True)
class Faults:
    """How bad it is.

    Attributes:
        delay: Seconds that a read or write takes.
        fail: How many of the calls fail, between 0 and 1.
        stall: How many of them take some seconds.
    """

    delay: float = 0.0
    fail: float = 0.0
    stall: float = 0.0


class FaultyFolder:
    """What FUSE calls, by the names of fusepy; paths begin with a slash."""

    use_ns = True

    def __init__(self, folder: Path, faults: Faults, seed: int) -> None:
        self.folder = folder
        self.faults = faults
        self.draw = random.Random(seed)

    def __call__(self, call: str, *arguments: Any) -> Any:
        """Do what is asked for, or fail to.

        Raises:
            OSError: Of the file below, or as drawn.
        """
        # The kernel has forgotten the file already, whatever these return.
        if call not in ("init", "destroy", "release", "releasedir"):
            if call in ("read", "write"):
                time.sleep(self.faults.delay)
            drawn = self.draw.random()
            if drawn < self.faults.fail:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            if drawn < self.faults.fail + self.faults.stall:
                time.sleep(STALL_SECONDS)
        return getattr(self, call)(*arguments)

    def at(self, path: str) -> str:
        """Return where a path lies below."""
        return str(self.folder) + path

    def init(self, path: str) -> None:
        """Begin."""

    def destroy(self, path: str) -> None:
        """End."""

    def access(self, path: str, mode: int) -> None:
        """Check permissions."""
        if not os.access(self.at(path), mode):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    def getattr(self, path: str, handle: int | None = None) -> dict[str, Any]:
        """Return the metadata of a file."""
        info = os.lstat(self.at(path))
        found = {name: getattr(info, name) for name in ATTRIBUTES}
        return found | {name: getattr(info, f"{name}_ns") for name in TIMES}

    def readdir(self, path: str, handle: int) -> list[str]:
        """Return the names in a folder."""
        return [".", "..", *os.listdir(self.at(path))]

    def readlink(self, path: str) -> str:
        """Return where a link leads to."""
        return os.readlink(self.at(path))

    def statfs(self, path: str) -> dict[str, int]:
        """Return how full the disk is."""
        info = os.statvfs(self.at(path))
        names = ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_files", "f_ffree", "f_frsize")
        return {name: getattr(info, name) for name in names}

    def mkdir(self, path: str, mode: int) -> None:
        """Make a folder."""
        os.mkdir(self.at(path), mode)

    def rmdir(self, path: str) -> None:
        """Remove a folder."""
        os.rmdir(self.at(path))

    def unlink(self, path: str) -> None:
        """Remove a file."""
        os.unlink(self.at(path))

    def rename(self, old: str, new: str) -> None:
        """Rename a file."""
        os.rename(self.at(old), self.at(new))

    def symlink(self, target: str, source: str) -> None:
        """Make a link at `target`."""
        os.symlink(source, self.at(target))

    def link(self, target: str, source: str) -> None:
        """Make another name of a file."""
        os.link(self.at(source), self.at(target))

    def chmod(self, path: str, mode: int) -> None:
        """Change permissions."""
        os.chmod(self.at(path), mode)

    def chown(self, path: str, user: int, group: int) -> None:
        """Change the owner."""
        os.chown(self.at(path), user, group)

    def utimens(self, path: str, times: tuple[int, int]) -> None:
        """Change times, in nanoseconds."""
        os.utime(self.at(path), ns=times)

    def create(self, path: str, mode: int, info: Any = None) -> int:
        """Make a file and open it."""
        return os.open(self.at(path), os.O_RDWR | os.O_CREAT | os.O_TRUNC, mode)

    def open(self, path: str, flags: int) -> int:
        """Open a file."""
        return os.open(self.at(path), flags & ~os.O_APPEND)

    def read(self, path: str, size: int, offset: int, handle: int) -> bytes:
        """Read."""
        return os.pread(handle, size, offset)

    def write(self, path: str, data: bytes, offset: int, handle: int) -> int:
        """Write."""
        return os.pwrite(handle, data, offset)

    def truncate(self, path: str, length: int, handle: int | None = None) -> None:
        """Cut a file off, or make it longer."""
        os.truncate(self.at(path) if handle is None else handle, length)

    def flush(self, path: str, handle: int) -> None:
        """Do nothing: what was written is below already."""

    def fsync(self, path: str, only_data: int, handle: int) -> None:
        """Wait for the disk."""
        os.fsync(handle)

    def release(self, path: str, handle: int) -> None:
        """Close a file."""
        os.close(handle)


def missing() -> str | None:
    """Return why there can be no such folder here; None if there can."""
    if not os.path.exists("/dev/fuse"):
        return "there is no FUSE here"
    if importlib.util.find_spec("fuse") is None:
        return "fusepy is not installed"
    try:
        import fuse  # type: ignore[import-not-found]  # noqa: F401
    except OSError as exc:
        return f"fusepy cannot be used ({exc})"
    return None


@contextmanager
def mounted(folder: Path, at: Path, faults: Faults, seed: int = 0) -> Iterator[None]:
    """Show a folder at another place, with its faults."""
    options = [f"--{name}={value}" for name, value in vars(faults).items()]
    program = (sys.executable, "-m", "scripts.torture.faulty_mount")
    process = subprocess.Popen([*program, f"--seed={seed}", *options, str(folder), str(at)])
    end = time.monotonic() + START_SECONDS
    while not os.path.ismount(at):
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{at} was not mounted")
        time.sleep(0.02)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", at], check=True)
        process.wait(timeout=START_SECONDS)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay", type=float, default=0.05)
    parser.add_argument("--fail", type=float, default=0.1)
    parser.add_argument("--stall", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("folder", type=Path)
    parser.add_argument("mount")
    asked = parser.parse_args()
    from fuse import FUSE

    folder = FaultyFolder(asked.folder, Faults(asked.delay, asked.fail, asked.stall), asked.seed)
    # Nothing is remembered by the kernel, so that every call comes here.
    never = {"entry_timeout": 0, "attr_timeout": 0, "negative_timeout": 0}
    FUSE(folder, asked.mount, foreground=True, **never)


if __name__ == "__main__":
    main()
