"""Servers that tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.servers import Served, serving


@pytest.fixture(scope="session")
def served(photos_indexed: tuple[Path, Path]) -> Iterator[Served]:
    """A server of six real photos, which nothing may be added to."""
    photos, collection = photos_indexed
    with serving(collection, "--allow-index", photos) as server:
        yield server
