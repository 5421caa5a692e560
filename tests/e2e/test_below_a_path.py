"""The server behind a reverse proxy that shows it below a path."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from serving.settings import InvalidRootPath, Settings
from support.command import Run
from support.proxy import proxied
from support.servers import Served, serving

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
    with proxied(shown.url, PREFIX, strip=strip) as url, httpx.Client(timeout=60) as client:
        page = f"{url}{PREFIX}/"
        # The page and the documentation, with all that they load.
        pending, seen = [page, f"{page}docs"], set()
        while pending:
            address = pending.pop()
            if address in seen:
                continue
            seen.add(address)
            answer = client.get(address)
            assert answer.status_code == 200, address
            if "html" in answer.headers["content-type"]:
                found = re.findall(r'(?:src|href)="([^"#]+)"', answer.text)
            elif address.endswith(".js") and "/docs/" not in address:
                found = re.findall(r'from "([^"]+)"', answer.text)
                assert '"/v1' not in answer.text
            else:
                continue
            pending += [urljoin(address, one) for one in found]
        assert any(address.endswith("/static/grid.js") for address in seen)
        assert client.get(f"{page}openapi.json").json()["servers"] == [{"url": PREFIX}]
        # A session, whose cookie is for this path only.
        assert client.get(f"{page}v1/status").status_code == 401
        signed_in = client.post(f"{page}v1/session", json={"key": "secret"})
        assert f"Path={PREFIX};" in signed_in.headers["set-cookie"]
        answer = client.get(f"{page}v1/search?q=a+cat&k=1").json()
        hit = answer["hits"][0]
        for link in (hit["thumbnail"], hit["file"]):
            assert link.startswith(f"{PREFIX}/v1/images/")
            assert client.get(urljoin(page, link)).headers["content-type"].startswith("image/")
        details = client.get(f"{page}v1/images/{hit['id']}").json()
        assert details["thumbnail"] == hit["thumbnail"]
        job = client.post(f"{page}v1/index", json={})
        assert job.headers["location"].startswith(f"{PREFIX}/v1/jobs/")
        assert client.get(urljoin(page, job.headers["location"])).status_code == 200
        client.delete(f"{page}v1/session")
        assert client.get(f"{page}v1/status").status_code == 401
        assert client.get(f"{page}v1/nothing").status_code == 404


def test_the_path_itself_leads_to_the_page(shown: Served) -> None:
    moved = httpx.get(f"{shown.url}{PREFIX}?q=cat", follow_redirects=False)
    assert (moved.status_code, moved.headers["location"]) == (308, f"{PREFIX}/?q=cat")
    assert shown.get("/healthz").status_code == 200


def test_a_search_on_this_machine_asks_the_server(clipdex: Run, shown: Served) -> None:
    count = len(shown.log)
    clipdex("search", "a cat", "--collection", shown.collection)
    assert any('"command": "search"' in line for line in shown.log[count:])


@pytest.mark.parametrize("wrong", ["photos", "/a//b", "/a?b", "/../a", "/a/.", "http://a/b", "/é"])
def test_other_paths_are_refused(clipdex: Run, wrong: str) -> None:
    done = clipdex("serve", "--port", 0, "--root-path", wrong, code=2)
    assert b"begins with a slash" in done.stderr
    with pytest.raises(InvalidRootPath, match="begins with a slash"):
        Settings(root_path=wrong)
