"""Mounts small disks, and folders read-only; both need root."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CAN_MOUNT = hasattr(os, "geteuid") and os.geteuid() == 0


def mount(*arguments: object) -> None:
    """Run `mount`."""
    subprocess.run(["mount", *map(str, arguments)], check=True)


@contextmanager
def small_disk(kib: int) -> Iterator[Path]:
    """A folder on a disk of this size."""
    folder = Path(tempfile.mkdtemp())
    mount("-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        folder.rmdir()


@contextmanager
def read_only(folder: Path, at: Path) -> Iterator[Path]:
    """The folder once more, read-only."""
    at.mkdir()
    mount("--bind", folder, at)
    try:
        mount("-o", "remount,bind,ro", at)
        yield at
    finally:
        subprocess.run(["umount", "--lazy", at], check=True)
        at.rmdir()
