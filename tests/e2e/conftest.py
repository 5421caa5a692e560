"""Servers that tests share."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.servers import Served, serving


@pytest.fixture(scope="session")
def served(
    photos_indexed: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A server of six real photos, which nothing may be added to.

    Its collection is a copy, so that no other server takes its place in `server.json`.
    """
    photos, indexed = photos_indexed
    collection = tmp_path_factory.mktemp("served") / "collection"
    shutil.copytree(indexed, collection)
    with serving(collection, "--allow-index", photos) as server:
        yield server
