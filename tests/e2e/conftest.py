"""Servers and models that tests share."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.made_once import made_once
from support.servers import Served, serving
from support.tuning import tune_small


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
    """A folder with what `tune_small` makes; read-only."""
    return made_once(tmp_path_factory, "tuned", tune_small)
