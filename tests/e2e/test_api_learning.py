"""Heads and concepts over HTTP: learnt from tags and images, listed, used, removed."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.command import Run, json_lines
from support.servers import Served, serving
from support.waiting import wait_until


@pytest.fixture
def server(photos_indexed: tuple[Path, Path], tmp_path: Path) -> Iterator[Served]:
    collection = tmp_path / "collection"
    shutil.copytree(photos_indexed[1], collection)
    with serving(collection, "--api-key", "secret", "--read-key", "family") as server:
        yield server


def ask(server: Served, method: str, path: str, key: str = "secret", **options: Any) -> Any:
    with server.client(headers={"X-API-Key": key}) as client:
        return client.request(method, path, **options)


def ids(server: Served) -> dict[str, int]:
    hits = ask(server, "GET", "/v1/search?k=50").json()["hits"]
    return {hit["path"]: hit["id"] for hit in hits}


def learned(server: Served) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(server, "GET", "/v1/learned").json()["learned"]
    return found


def tag(server: Served, label: str, *names: str) -> None:
    numbers = [ids(server)[name] for name in names]
    body = {"image_ids": numbers, "add": [label]}
    assert ask(server, "POST", "/v1/images/tags", json=body).status_code == 200


def test_a_concept_is_a_word(server: Served, clipdex: Run) -> None:
    found = ids(server)
    body = {"name": "rex", "image_ids": [found["chelsea.png"]], "unlike_ids": [found["moon.png"]]}
    made = ask(server, "POST", "/v1/concepts", json=body)
    assert made.status_code == 200, made.text
    assert made.json() | {"made": None} == {
        "name": "rex", "kind": "concept", "classes": [], "images": 1, "accuracy": None, "made": None
    }  # fmt: skip
    assert [one["name"] for one in learned(server)] == ["rex"]
    (first, *_) = ask(server, "GET", "/v1/search?q=@rex").json()["hits"]
    assert first["path"] == "chelsea.png"
    assert ask(server, "GET", "/v1/search?q=@nobody").status_code == 422
    listed = json_lines(clipdex("adapt", "list", "--json"))
    assert [one["name"] for one in listed] == ["rex"]
    left = ask(server, "DELETE", "/v1/learned/rex")
    assert left.json() == {"learned": []}
    assert ask(server, "GET", "/v1/search?q=@rex").status_code == 422
    assert ask(server, "DELETE", "/v1/learned/rex").status_code == 404


def test_a_head_is_learnt_from_tags(server: Served, clipdex: Run) -> None:
    tag(server, "sky", "moon.png", "rocket.jpg")
    tag(server, "indoors", "coffee.png", "page.png")
    tag(server, "favourite", "moon.png")  # says nothing of what it shows
    job = ask(server, "POST", "/v1/heads", json={"name": "things"})
    assert job.status_code == 202, job.text
    assert (job.json()["kind"], job.json()["name"]) == ("train", "things")

    def ended() -> bool:
        return ask(server, "GET", job.headers["Location"]).json()["state"] not in (
            "queued", "running"
        )  # fmt: skip

    wait_until(ended, seconds=120)
    done = ask(server, "GET", job.headers["Location"]).json()
    assert (done["state"], done["error"]) == ("done", None)
    assert (done["report"]["classes"], done["report"]["images"]) == (2, 4)
    (head,) = learned(server)
    assert (head["kind"], head["classes"], head["images"]) == ("head", ["indoors", "sky"], 4)
    number = ids(server)["moon.png"]
    answer = ask(server, "POST", "/v1/label", json={"image_ids": [number], "head": "things"})
    assert answer.json()["images"][0]["labels"][0]["label"] == "sky"
    assert ask(server, "DELETE", "/v1/learned/things").json() == {"learned": []}


def error_of(server: Served, place: str) -> str:
    wait_until(lambda: ask(server, "GET", place).json()["state"] == "failed", seconds=120)
    error: str = ask(server, "GET", place).json()["error"]
    return error


def test_a_head_of_too_few_tags_fails_in_one_line(server: Served) -> None:
    for told in ("nothing to learn from", "fewer than 2 examples"):
        job = ask(server, "POST", "/v1/heads", json={"name": "things"})
        assert told in error_of(server, job.headers["Location"])
        tag(server, "sky", "moon.png")
        tag(server, "animal", "chelsea.png")
    assert learned(server) == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/concepts", {"name": "../x", "image_ids": [1]}),
        ("POST", "/v1/concepts", {"name": ".new-x", "image_ids": [1]}),
        ("POST", "/v1/concepts", {"name": "x", "image_ids": []}),
        ("POST", "/v1/concepts", {"name": "x", "image_ids": [999]}),
        ("POST", "/v1/concepts", {"name": "x", "image_ids": [1], "unlike_ids": [2], "more": 1}),
        ("POST", "/v1/heads", {"name": "a/b"}),
        ("POST", "/v1/heads", {"name": "x" * 65}),
        ("DELETE", "/v1/learned/..%2F..%2Fcatalogue.sqlite3", None),
        ("DELETE", "/v1/learned/.", None),
        ("DELETE", "/v1/learned/nothing", None),
    ],
)
def test_what_makes_no_sense_is_refused(
    server: Served, method: str, path: str, body: dict[str, Any] | None
) -> None:
    answer = ask(server, method, path, json=body)
    assert answer.status_code in (404, 405, 422), answer.text
    assert learned(server) == []
    assert (server.collection / "catalogue.sqlite3").exists()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/concepts", {"name": "x", "image_ids": [1]}),
        ("POST", "/v1/heads", {"name": "x"}),
        ("DELETE", "/v1/learned/x", None),
    ],
)
def test_keys_that_read_change_nothing(
    server: Served, method: str, path: str, body: dict[str, Any] | None
) -> None:
    assert ask(server, method, path, "family", json=body).status_code == 403
    assert ask(server, method, path, "wrong", json=body).status_code == 401
    assert ask(server, "GET", "/v1/learned", "family").status_code == 200
