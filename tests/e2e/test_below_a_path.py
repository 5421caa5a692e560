"""The server behind a reverse proxy that shows it below a path."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serving.settings import InvalidRootPath, Settings
from support.below_a_path import use_everything
from support.command import Run
from support.proxy import proxied
from support.servers import Served, serving
from support.waiting import wait_until

PREFIX = "/my/photos"


@pytest.fixture(scope="module")
def shown(photos_indexed: tuple[Path, Path]) -> Iterator[Served]:
    photos, collection = photos_indexed
    with serving(
        collection, "--root-path", f"{PREFIX}/", "--api-key", "secret", "--allow-index", photos
    ) as server:
        yield server


@pytest.mark.parametrize("strip", [True, False], ids=["stripped", "passed on"])
def test_everything_works_below_a_path(shown: Served, strip: bool) -> None:
    with proxied(shown.url, PREFIX, strip=strip) as url:
        use_everything(url, PREFIX, "secret")


def test_the_path_itself_leads_to_the_page(shown: Served) -> None:
    moved = httpx.get(f"{shown.url}{PREFIX}?q=cat", follow_redirects=False)
    assert (moved.status_code, moved.headers["location"]) == (308, f"{PREFIX}/?q=cat")
    assert shown.get("/healthz").status_code == 200


def test_a_search_on_this_machine_asks_the_server(clipdex: Run, shown: Served) -> None:
    count = len(shown.log)
    clipdex("search", "a cat", "--collection", shown.collection)
    wait_until(lambda: any('"command": "search"' in line for line in shown.log[count:]))


@pytest.mark.parametrize("wrong", ["photos", "/a//b", "/a?b", "/../a", "/a/.", "http://a/b", "/é"])
def test_other_paths_are_refused(clipdex: Run, wrong: str) -> None:
    done = clipdex("serve", "--port", 0, "--root-path", wrong, code=2)
    assert b"begins with a slash" in done.stderr
    with pytest.raises(InvalidRootPath, match="begins with a slash"):
        Settings(root_path=wrong)
