"""Servers and models that tests share."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command import COMMAND
from support.made_once import made_once
from support.servers import Served, serving
from support.shapes import labelled


@pytest.fixture(scope="session")
def served(
    photos_indexed: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A server of six real photos, which nothing may be added to.

    Its collection is a copy, so that no other server answers its commands.
    """
    photos, indexed = photos_indexed
    collection = tmp_path_factory.mktemp("served") / "collection"
    shutil.copytree(indexed, collection)
    with serving(collection, "--allow-index", photos) as server:
        yield server


@pytest.fixture(scope="session")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images in `train`, the model `mine` that was tuned with them in `cache`, and
    what the command said in `stdout` and `stderr`; read-only.
    """

    def tune(folder: Path) -> None:
        train = labelled(folder / "train", range(6))
        done = subprocess.run(
            [COMMAND, "adapt", "tune", "mine", train, "--epochs", "3", "--json"],
            env={**os.environ, "CLIPDEX_CACHE": str(folder / "cache")},
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr
        (folder / "stdout").write_bytes(done.stdout)
        (folder / "stderr").write_bytes(done.stderr)

    return made_once(tmp_path_factory, "tuned", tune)
