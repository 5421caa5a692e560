"""Tags over HTTP and with the command: what is found by them, and what is hidden."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from indexer.store.catalog import writing
from indexer.store.collection import Collection
from support.command import Run, json_lines
from support.postgres import Server
from support.servers import Served, serving

COUNT = 6


@pytest.fixture
def server(photos_indexed: tuple[Path, Path], tmp_path: Path) -> Iterator[Served]:
    collection = tmp_path / "collection"
    shutil.copytree(photos_indexed[1], collection)
    with serving(collection) as server:
        yield server


def ids_by_name(server: Served) -> dict[str, int]:
    hits = server.get("/v1/search", params={"k": 50}).json()["hits"]
    return {hit["path"]: hit["id"] for hit in hits}


def change(server: Served, ids: list[int], **fields: list[str]) -> list[dict[str, Any]]:
    answer = server.post("/v1/images/tags", json={"image_ids": ids, **fields})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["changes"]
    return found


def tags_of(server: Served, number: int) -> list[str]:
    found: list[str] = server.get(f"/v1/images/{number}").json()["tags"]
    return found


def found(server: Served, **params: Any) -> tuple[set[int], int]:
    answer = server.get("/v1/search", params=params).json()
    return {hit["id"] for hit in answer["hits"]}, answer["total"]


def check_tags(server: Served) -> None:
    """What a client sees of tags, whichever store holds them."""
    cat, moon, page = (ids_by_name(server)[f"{name}.png"] for name in ("chelsea", "moon", "page"))
    every, total = found(server)
    assert total == len(every) == COUNT
    assert server.get("/v1/tags").json() == {"total": 0, "tags": []}

    first = change(server, [cat, moon], add=["Süße Katze", "favourite"])
    assert first == [
        {"image_ids": [cat, moon], "added": ["Süße Katze", "favourite"], "removed": []}
    ]
    second = change(server, [page, cat, cat], add=[" favourite "], remove=["Süße Katze", "none"])
    assert second == [
        {"image_ids": [page], "added": ["favourite"], "removed": []},
        {"image_ids": [cat], "added": [], "removed": ["Süße Katze"]},
    ]
    assert tags_of(server, cat) == ["favourite"]
    assert found(server, tag="favourite") == ({cat, moon, page}, 3)
    assert found(server, q="a cat", tag=["favourite", "Süße Katze"]) == ({moon}, 1)
    assert found(server, q="a cat", tag="FAVOURITE") == (set(), 0)
    for undone in second:
        change(server, undone["image_ids"], add=undone["removed"], remove=undone["added"])
    assert [tags_of(server, one) for one in (cat, moon, page)] == [
        ["Süße Katze", "favourite"], ["Süße Katze", "favourite"], []
    ]  # fmt: skip
    tags = {"total": 1, "tags": [{"tag": "Süße Katze", "count": 2}]}
    assert server.get("/v1/tags", params={"prefix": "süss"}).json() == tags
    assert server.get("/v1/tags", params={"k": 1}).json() == {**tags, "total": 2}

    change(server, [moon], add=["hidden"])
    shown = every - {moon}
    assert found(server) == found(server, k=6, q="the moon") == (shown, COUNT - 1)
    assert found(server, tag="favourite") == ({cat}, 1)
    assert found(server, tag="hidden", q="a cat") == found(server, tag="hidden") == ({moon}, 1)
    similar = server.get(f"/v1/images/{moon}/similar").json()
    assert ({hit["id"] for hit in similar["hits"]}, similar["total"]) == (shown, COUNT - 1)
    body = {"image_id": cat, "filter": {"tags": ["hidden"]}}
    assert [hit["id"] for hit in server.post("/v1/search", json=body).json()["hits"]] == [moon]
    listed = server.post("/v1/search", json={"filter": {"tags": ["favourite"]}}).json()
    assert [(hit["id"], hit["score"]) for hit in listed["hits"]] == [(cat, None)]
    counted = {one["tag"]: one["count"] for one in server.get("/v1/tags").json()["tags"]}
    assert counted == {"Süße Katze": 1, "favourite": 1, "hidden": 1}
    count = {"labels": ["favourite"], "filter": {"tags": ["favourite"]}}
    assert server.post("/v1/labels/count", json=count).json()["counts"][0]["count"] == 1
    # Whoever knows its number still sees it.
    assert server.get(f"/v1/images/{moon}/thumbnail").status_code == 200

    missing = server.post("/v1/images/tags", json={"image_ids": [cat, 10**9], "add": ["no"]})
    assert missing.status_code == 404
    assert "no image has the id 1000000000" in missing.json()["detail"]
    assert tags_of(server, cat) == ["Süße Katze", "favourite"]


def test_tags_are_given_found_and_taken_back(server: Served) -> None:
    check_tags(server)


def test_tags_of_a_shared_collection(
    photos_indexed: tuple[Path, Path], postgres: Server, clipdex: Run, tmp_path: Path
) -> None:
    url = postgres.database("tags")
    own = {"XDG_DATA_HOME": str(tmp_path / "data")}
    clipdex("index", photos_indexed[0], "--collection", url, env=own)
    with serving(url, **own) as server:  # type: ignore[arg-type]
        check_tags(server)


def test_the_command_and_the_server_share_tags(server: Served, clipdex: Run) -> None:
    place = ("--collection", server.collection)
    clipdex("tags", "add", "dusk", server.collection.parent, *place, code=1)  # not indexed there
    cat = ids_by_name(server)["chelsea.png"]
    change(server, [cat], add=["pet"])
    alone = {"XDG_RUNTIME_DIR": "/nowhere"}  # no server is asked
    for environment in ({}, alone):
        (hit,) = json_lines(clipdex("search", "--tag", "pet", "--json", *place, env=environment))
        assert hit["id"] == cat
        nothing = clipdex(
            "search", "a", "cat", "--tag", "pet", "--tag", "no", *place, env=environment
        )
        assert nothing.stdout == b""
    clipdex("tags", "add", "hidden", hit["path"], *place)
    for environment in ({}, alone):
        seen = json_lines(clipdex("search", "a cat", "--json", *place, env=environment))
        assert len(seen) == COUNT - 1
        assert cat not in [one["id"] for one in seen]
        asked = ("--tag", "hidden", "--tag", "pet")
        (one,) = json_lines(clipdex("search", *asked, "--json", *place, env=environment))
        assert one["id"] == cat
    assert tags_of(server, cat) == ["hidden", "pet"]
    refused = clipdex("search", "--tag", "a\nb", *place, code=2)
    assert b"control character" in refused.stderr
    clipdex("tags", "remove", "hidden", *place)
    assert found(server)[1] == COUNT


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "'; DROP TABLE labels; --",
    "%",
    "_",
    "../../etc/passwd",
    "=HYPERLINK(1)",
    "--collection",
    "__proto__",
    "{{7*7}}",
    "\u202egpj",
    "é",
    "e\u0301",
    "👩\u200d💻" * 50,
]


def test_a_tag_is_a_text_and_nothing_else(server: Served, clipdex: Run) -> None:
    cat, moon = (ids_by_name(server)[f"{name}.png"] for name in ("chelsea", "moon"))
    change(server, [cat], add=HOSTILE)
    change(server, [moon], add=["plain"])
    answer = server.get(f"/v1/images/{cat}")
    assert sorted(answer.json()["tags"]) == sorted(HOSTILE)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    for tag in HOSTILE:  # exact: no pattern, no form of the same accent
        assert found(server, tag=tag) == ({cat}, 1), tag
        tags = server.get("/v1/tags", params={"prefix": tag}).json()["tags"]
        assert tags[0] == {"tag": tag, "count": 1}
        assert all(one["tag"].startswith(tag) for one in tags)
    listed = clipdex("tags", "list", "--collection", server.collection)
    assert b"<script>" in listed.stdout
    change(server, [cat], remove=HOSTILE)
    assert server.get("/v1/tags").json()["tags"] == [{"tag": "plain", "count": 1}]


def test_a_change_waits_briefly_for_a_writer(server: Served) -> None:
    body = {"image_ids": [1], "add": ["pet"]}
    with writing(Collection(server.collection), "index"):
        busy = server.post("/v1/images/tags", json=body)
        assert busy.status_code == 409
        assert "`clipdex index`" in busy.json()["detail"]
        assert str(server.collection.parent) not in busy.json()["detail"]
        assert server.get("/v1/tags").json()["total"] == 0  # readers do not wait
    assert change(server, [1], add=["pet"]) == [{"image_ids": [1], "added": ["pet"], "removed": []}]
