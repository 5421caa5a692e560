"""Servers and models that tests share."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.made_once import made_once
from support.servers import Served, serving
from support.tuning import tune_small
from support.years import COUNT, Years, make_years


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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser; one a module, since its event loop is in the way of those of other tests."""
    from support.browser import chromium  # which skips where there is no Playwright

    with chromium() as running:
        yield running


@pytest.fixture
def page(browser: Any, served: Served) -> Iterator[Any]:
    """The page of `served`, in a profile of its own."""
    from support.browser import watched_page

    with watched_page(browser, served.url) as watched:
        yield watched


@pytest.fixture(scope="session")
def years(tmp_path_factory: pytest.TempPathFactory) -> Years:
    """A collection of many years; read-only."""
    return make_years(tmp_path_factory.mktemp("years"), COUNT)


@pytest.fixture(scope="session")
def years_served(years: Years) -> Iterator[Served]:
    """A server of many years, which nothing may be added to."""
    with serving(years.collection) as server:
        yield server
