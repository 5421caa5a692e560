"""Commands as a user who may read a collection and not write it, and read-only mounts."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def require_other_user() -> None:
    """Skip where no command can be run as another user."""
    if os.name != "posix" or os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can run commands as another user, with setpriv")


@contextmanager
def readable_folder() -> Iterator[Path]:
    """A folder that everybody may read; pytest's own belong to one user."""
    with tempfile.TemporaryDirectory(prefix="clipdex-test-") as name:
        os.chmod(name, 0o755)
        (Path(name) / "nobody").mkdir(mode=0o777)
        os.chmod(Path(name) / "nobody", 0o777)
        yield Path(name)


def surroundings(folder: Path) -> dict[str, str]:
    """The environment of the other user, who has a home and a cache."""
    return {"HOME": str(folder / "nobody"), "CLIPDEX_CACHE": str(folder / "nobody" / "cache")}


@contextmanager
def mounted_read_only(folder: Path, at: Path) -> Iterator[Path]:
    """The folder once more, read-only, as a container sees it."""
    at.mkdir()
    made = subprocess.run(["mount", "--bind", folder, at], capture_output=True)
    if made.returncode:
        pytest.skip(f"cannot mount a folder here: {made.stderr.decode().strip()}")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", at], check=True)
        yield at
    finally:
        subprocess.run(["umount", at], check=True)
