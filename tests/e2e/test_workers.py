"""`clipdex serve --workers 2`: it does not matter which of the processes answers."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.command import Run
from support.servers import Served, serving
from support.waiting import wait_until

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows cannot hand connections over")

KEY = {"X-API-Key": "the key"}
READ_KEY = {"X-API-Key": "looks"}


@pytest.fixture(scope="module")
def server(
    photos_indexed: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A server of six real photos with two workers, and with a key."""
    photos, indexed = photos_indexed
    collection = tmp_path_factory.mktemp("workers") / "collection"
    shutil.copytree(indexed, collection)
    options = ("--workers", "2", "--api-key", KEY["X-API-Key"], "--allow-index", photos)
    options += ("--read-key", READ_KEY["X-API-Key"])
    with serving(collection, *options) as server:
        yield server


def workers(server: Served) -> list[int]:
    """The processes that answer: those of the server's children that hold the collection open."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[1]
                maps = (folder / "maps").read_text()
            except OSError:
                continue
            if int(parent) == server.process.pid and ".faiss" in maps:
                found.append(int(folder.name))
    return sorted(found)


def by_each(server: Served, method: str, path: str, **options: object) -> list[httpx.Response]:
    """The answers of each worker: new connections go to them in turn."""
    return [
        httpx.request(method, server.url + path, timeout=60, **options)  # type: ignore[arg-type]
        for _ in range(4)
    ]


def test_each_worker_finds_the_same(server: Served) -> None:
    wait_until(lambda: len(workers(server)) == 2, seconds=60)
    answers = by_each(server, "GET", "/v1/search?q=a+cat&k=3", headers=KEY)
    hits = [[(hit["path"], hit["score"]) for hit in one.json()["hits"]] for one in answers]
    assert len(hits[0]) == 3
    assert all(one == hits[0] for one in hits)
    assert hits[0][0][0] == "chelsea.png"


def test_requests_are_counted_together(server: Served) -> None:
    def counted() -> float:
        text = server.get("/metrics", headers=KEY).text
        name = 'clipdex_requests_total{method="GET",route="/v1/folders",status="200"}'
        return sum(float(row.split()[-1]) for row in text.splitlines() if row.startswith(name))

    before = counted()
    by_each(server, "GET", "/v1/folders", headers=KEY)
    assert [counted() - before for _ in range(3)] == [4, 4, 4]


def test_a_session_counts_for_all(server: Served) -> None:
    key = {"key": KEY["X-API-Key"]}
    signed_in = server.post("/v1/session", json=key)
    assert signed_in.status_code == 204
    cookies = dict(signed_in.cookies)
    inside = by_each(server, "GET", "/v1/status", cookies=cookies)
    assert [one.status_code for one in inside] == [200] * 4
    httpx.delete(f"{server.url}/v1/session", cookies=cookies)
    outside = by_each(server, "GET", "/v1/status", cookies=cookies)
    assert [one.status_code for one in outside] == [401] * 4


def test_rights_hold_for_each(server: Served) -> None:
    signed_in = server.post("/v1/session", json={"key": READ_KEY["X-API-Key"]})
    for options in ({"headers": READ_KEY}, {"cookies": dict(signed_in.cookies)}):
        looks = by_each(server, "GET", "/v1/status", **options)
        assert [one.status_code for one in looks] == [200] * 4
        changes = by_each(server, "POST", "/v1/index", json={}, **options)
        assert [one.status_code for one in changes] == [403] * 4


def test_tags_are_seen_by_each(server: Served) -> None:
    body = {"image_ids": [1], "add": ["pet"]}
    changed = [one.json()["changes"] for one in by_each(server, "POST", "/v1/images/tags",
                                                        json=body, headers=KEY)]  # fmt: skip
    assert changed == [[{"image_ids": [1], "added": ["pet"], "removed": []}], [], [], []]
    for one in by_each(server, "GET", "/v1/search?tag=pet", headers=READ_KEY):
        assert [hit["id"] for hit in one.json()["hits"]] == [1]


def test_wrong_keys_are_counted_together(server: Served) -> None:
    with serving(server.collection, "--workers", "2", "--api-key", "right") as other:
        wrong = [
            other.get("/v1/status", headers={"X-API-Key": f"wrong {n}"}).status_code
            for n in range(12)
        ]
        assert wrong == [401] * 10 + [429] * 2
        late = by_each(other, "GET", "/v1/status", headers={"X-API-Key": "right"})
        assert [one.status_code for one in late] == [429] * 4
        assert "Retry-After" in late[0].headers


def test_a_client_has_one_rate(photos_indexed: tuple[Path, Path]) -> None:
    with serving(photos_indexed[1], "--workers", "2", "--rate-limit", "0.5") as server:
        codes = [server.get("/v1/status").status_code for _ in range(8)]
    assert codes.count(200) == 4  # five at once, and the question whether it is up was one
    assert codes[-1] == 429


def test_jobs_are_seen_by_each(server: Served) -> None:
    started = server.post("/v1/index", json={"paths": []}, headers=KEY)
    assert started.status_code == 202
    job = started.json()["id"]
    seen = by_each(server, "GET", f"/v1/jobs/{job}", headers=KEY)
    assert [one.status_code for one in seen] == [200] * 4
    for _ in range(2):
        events = server.get(f"/v1/jobs/{job}/events", headers=KEY).text
        assert '"state":"done"' in events.split("event: end")[1]
    for one in by_each(server, "GET", "/v1/jobs", headers=KEY):
        assert job in [found["id"] for found in one.json()["jobs"]]
    missing = by_each(server, "GET", "/v1/jobs/none", headers=KEY)
    assert [one.status_code for one in missing] == [404] * 4


def test_a_dead_worker_is_replaced(server: Served, clipdex: Run) -> None:
    wait_until(lambda: len(workers(server)) == 2, seconds=60)
    before = workers(server)
    for victim in before:  # the one that answers commands among them
        os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len(set(workers(server)) - set(before)) == 2, seconds=90)
    answers = by_each(server, "GET", "/v1/search?q=a+cat&k=1", headers=KEY)
    assert {one.json()["hits"][0]["path"] for one in answers} == {"chelsea.png"}
    assert any("a worker ended (exit code -9)" in line for line in server.log)
    done = clipdex("search", "a cat", "-k", "1", "--paths", "--collection", server.collection)
    assert done.stdout.strip().endswith(b"chelsea.png")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_server(
    photos_indexed: tuple[Path, Path], number: signal.Signals
) -> None:
    with serving(photos_indexed[1], "--workers", "2") as server:
        wait_until(lambda: len(workers(server)) == 2, seconds=60)
        left = workers(server)
        server.process.send_signal(number)
        code = server.process.wait(timeout=30)
        assert code == (-number if number == signal.SIGKILL else 128 + number)
        wait_until(lambda: not any(Path(f"/proc/{one}").exists() for one in left), seconds=10)
    assert not any("Traceback" in line for line in server.log)


@pytest.mark.parametrize("count", [1, 2])
def test_a_collection_that_cannot_be_opened_is_refused(
    count: int, clipdex: Run, tmp_path: Path
) -> None:
    (tmp_path / "collection").mkdir()
    (tmp_path / "collection" / "catalogue.sqlite3").write_bytes(b"not a catalog" * 1000)
    done = clipdex("serve", "--port", "0", "--workers", count, code=1)
    assert len(done.stderr.splitlines()) == 1
    assert b"is damaged or not clipdex's" in done.stderr
