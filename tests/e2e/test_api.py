"""The HTTP API, through the installed command: what each route answers."""

import base64
import io
import json
import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from indexer.load import load_encoder
from search import Engine
from search.socket_path import socket_path
from support.command import COMMAND
from support.images import make_photo
from support.servers import Served, serving
from support.waiting import wait_until


def names(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [hit["path"] for hit in answer.json()["hits"]]


def test_a_text_finds_what_the_engine_finds(
    served: Served, photos_indexed: tuple[Path, Path]
) -> None:
    answer = served.get("/v1/search", params={"q": "a cat", "k": 3, "not": "coffee"})
    with Engine.open(photos_indexed[1]) as engine:
        hits = engine.search("a cat", k=5, without=["coffee"])
    body = answer.json()
    assert [hit["id"] for hit in body["hits"]] == [hit.id for hit in hits[:3]]
    for mine, its in zip(body["hits"], hits[:3], strict=True):
        assert mine["score"] == pytest.approx(its.score, abs=1e-5)
        assert mine["relevance"] == its.relevance
        assert (mine["width"], mine["height"], mine["taken_at"]) == (
            its.width,
            its.height,
            its.taken_at,
        )
    assert body["query"] == {"q": "a cat", "k": 3, "not": ["coffee"]}
    assert body["total"] == 6
    assert body["hits"][0]["path"] == "chelsea.png"  # below its root: no path of this machine
    assert names(
        served.get("/v1/search", params={"q": "a cat", "k": 3, "offset": 2, "not": "coffee"})
    ) == [Path(hit.path).name for hit in hits[2:]]


def test_search_by_upload_base64_and_id(served: Served, photos_indexed: tuple[Path, Path]) -> None:
    data = (photos_indexed[0] / "coffee.png").read_bytes()
    uploaded = served.post("/v1/search/image?k=2", files={"file": ("c.png", data)})
    assert names(uploaded)[0] == "coffee.png"
    sent = {"image": base64.b64encode(data).decode(), "k": 2}
    assert served.post("/v1/search", json=sent).json()["hits"] == uploaded.json()["hits"]
    number = uploaded.json()["hits"][0]["id"]
    similar = served.get(f"/v1/images/{number}/similar", params={"k": 5})
    assert "coffee.png" not in names(similar)
    assert similar.json()["total"] == 5
    assert names(served.post("/v1/search", json={"image_id": number, "k": 5})) == names(similar)
    mixed = {"image_id": number, "text": "a rocket", "weights": {"image": 0.01}, "k": 1}
    assert names(served.post("/v1/search", json=mixed)) == ["rocket.jpg"]


def test_images_to_be_like_and_unlike(served: Served, photos_indexed: tuple[Path, Path]) -> None:
    found = {one["path"]: one["id"] for one in served.get("/v1/search").json()["hits"]}
    like, unlike = [found["coffee.png"], found["moon.png"]], [found["page.png"]]
    sent = {"text": "a photo", "image_ids": like, "unlike_ids": unlike, "k": 5}
    with Engine.open(photos_indexed[1]) as engine:
        hits = engine.search("a photo", images=like, unlike=unlike, k=5)
    answer = served.post("/v1/search", json=sent)
    assert [hit["id"] for hit in answer.json()["hits"]] == [hit.id for hit in hits]
    assert len(hits) == 3  # those that are named are left out
    assert answer.json()["query"] == sent
    # Estimates were fitted for one text and one image: none is better than a wrong one.
    assert [hit["relevance"] for hit in answer.json()["hits"]] == [None] * 3
    assert answer.json()["total_matches"] is None
    for one in ({"image_ids": like}, {"text": "a photo", "image_ids": like[:1]}):
        known = served.post("/v1/search", json=one).json()["hits"]
        assert all(hit["relevance"] is not None for hit in known)
    least = served.post("/v1/search", json={**sent, "filter": {"min_relevance": 0.5}})
    assert least.status_code == 422
    assert "several examples" in least.json()["detail"]
    missing = served.post("/v1/search", json={"text": "a", "unlike_ids": [10**6]})
    assert missing.status_code == 404
    assert "no image has the id 1000000" in missing.json()["detail"]


def test_search_with_filters_and_without_text(served: Served) -> None:
    assert len(names(served.get("/v1/search"))) == 6
    old = served.get("/v1/search", params={"until": "2010"})
    assert names(old) == ["chelsea.png"]  # the only one that says when it was taken
    assert old.json()["total"] == 1
    dated = {
        hit["path"]: served.get(f"/v1/images/{hit['id']}").json()["dated_by"]
        for hit in served.get("/v1/search").json()["hits"]
    }
    assert [path for path, by in dated.items() if by == "image"] == ["chelsea.png"]
    assert list(dated.values()).count("file") == 5
    assert old.json()["hits"][0]["score"] is None
    assert names(served.get("/v1/search", params={"q": "a rocket", "label": "cat>0.5"})) == [
        "chelsea.png"
    ]
    counted = served.post("/v1/labels/count", json={"labels": ["cat", "zebra"]})
    assert counted.json() == {
        "counts": [{"label": "cat", "count": 1}, {"label": "zebra", "count": 0}]
    }
    assert names(served.get("/v1/search", params={"q": "a cat", "min_relevance": 0.9})) == [
        "chelsea.png"
    ]


def test_dates_beyond_all_photos_are_answered(served: Served) -> None:
    for condition, total in (("until=3000", 6), ("since=1600", 6), ("since=900y", 6),
                             ("until=1600", 0), ("since=9999", 0), ("until=9999", 6)):  # fmt: skip
        answer = served.get(f"/v1/search?q=a&{condition}").json()
        assert (answer["total"], len(answer["hits"])) == (total, total), condition


def test_an_image_outside_the_filter_is_not_subtracted(served: Served) -> None:
    for until, total in (("3000", 5), ("1600", 0)):
        body = {"image_id": 1, "filter": {"until": until}}
        answer = served.post("/v1/search", json=body).json()
        assert (answer["total"], len(answer["hits"])) == (total, total)


def test_labels_are_the_command_lines(served: Served, photos_indexed: tuple[Path, Path]) -> None:
    photos = photos_indexed[0]
    done = subprocess.run(
        [COMMAND, "label", photos / "chelsea.png", "--labels", "cat,dog", "--json"],
        capture_output=True,
        check=True,
    )
    expected = json.loads(done.stdout)
    number = served.get("/v1/search", params={"q": "a cat", "k": 1}).json()["hits"][0]["id"]
    image = base64.b64encode((photos / "chelsea.png").read_bytes()).decode()
    for what in ({"image_ids": [number]}, {"image": image}):
        (found,) = served.post("/v1/label", json={**what, "labels": ["cat", "dog"]}).json()[
            "images"
        ]
        assert [one["label"] for one in found["labels"]] == ["cat", "dog"]
        assert found["labels"][0]["probability"] == pytest.approx(
            expected["labels"][0]["probability"], abs=2e-3
        )


def test_thumbnails_are_small_webp_and_kept(served: Served) -> None:
    answer = served.get("/v1/images/1/thumbnail", params={"size": 160})
    assert answer.headers["content-type"] == "image/webp"
    # A number alone may come to mean another image; what its content is named with may not.
    assert answer.headers["cache-control"] == "private, no-cache"
    named = served.get("/v1/images/1").json()["thumbnail"]
    assert "immutable" in served.get(named).headers["cache-control"]
    assert "immutable" not in served.get(f"{named[:-1]}g").headers["cache-control"]
    with Image.open(io.BytesIO(answer.content)) as image:
        assert (image.format, max(image.size)) == ("WEBP", 160)
    etag = answer.headers["etag"]
    again = served.get("/v1/images/1/thumbnail?size=160", headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert list(served.collection.glob("thumbnails/*/*-160.webp"))
    assert served.get("/v1/images/1/thumbnail?size=161").status_code == 422


def test_openai_client_gets_the_vectors(served: Served, photos_indexed: tuple[Path, Path]) -> None:
    openai = pytest.importorskip("openai")
    encoder = load_encoder(device="cpu")
    data = base64.b64encode((photos_indexed[0] / "coffee.png").read_bytes()).decode()
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none") as client:
        made = client.embeddings.create(
            model="pocket", input=["a cat", f"data:image/png;base64,{data}"]
        )
        plain = client.embeddings.create(model="pocket", input="a cat", encoding_format="float")
        with pytest.raises(openai.NotFoundError) as refused:
            client.embeddings.create(model="text-embedding-3-small", input="a cat")
    assert "pocket" in refused.value.response.json()["detail"]
    vectors = np.array([one.embedding for one in made.data], np.float32)
    assert vectors[0] @ encoder.encode_texts(["a cat"])[0] == pytest.approx(1, abs=1e-4)
    assert np.allclose(plain.data[0].embedding, vectors[0], atol=1e-6)
    ids = served.get("/v1/search", params={"q": "coffee", "k": 1}).json()["hits"]
    with Engine.open(photos_indexed[1]) as engine:
        stored = engine.catalog.embeddings_of(engine.model.fingerprint, [ids[0]["id"]])
    assert vectors[1] @ stored[ids[0]["id"]] == pytest.approx(1, abs=1e-3)


def test_search_uses_a_running_server(
    served: Served, photos_indexed: tuple[Path, Path], tmp_path: Path
) -> None:
    collection = served.collection

    def search(*options: str) -> bytes:
        command = [COMMAND, "search", "a", "cat", "--json", "--collection", collection, *options]
        return subprocess.run(command, capture_output=True, check=True).stdout

    def answered() -> int:
        return len([line for line in served.log if '"command": "search"' in line])

    before = answered()
    warm = [search("-k", "3"), search("--in", str(photos_indexed[0]), "--label", "cat>0.5")]
    wait_until(lambda: answered() >= before + 2)  # a request is logged after its answer
    assert answered() == before + 2
    copy = tmp_path / "copy"  # the same collection without a server
    shutil.copytree(collection, copy)
    alone = subprocess.run(
        [COMMAND, "search", "a cat", "--json", "--collection", copy, "-k", "3"],
        capture_output=True,
        check=True,
    ).stdout
    assert [json.loads(line) for line in warm[0].splitlines()] == [
        json.loads(line) for line in alone.splitlines()
    ]
    assert len(warm[1].splitlines()) == 1
    # A server that is gone without a word is no hindrance.
    path = socket_path(copy)
    assert path is not None
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(os.fspath(path))
    command = [COMMAND, "search", "a cat", "--json", "--collection", copy, "-k", "3"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == alone
    path.unlink()


def test_new_images_are_found_without_a_restart(tmp_path: Path) -> None:
    photos, collection = tmp_path / "photos", tmp_path / "collection"
    for seed in range(3):
        make_photo(photos / f"{seed}.png", seed)
    with serving(collection) as server:  # of a collection that is not there yet
        assert server.get("/v1/status").json()["images"] == 0
        assert server.get("/v1/search?q=red").json()["hits"] == []
        assert server.get("/readyz").json()["status"] == "nothing is indexed yet"
        index = [COMMAND, "index", photos, "--collection", collection]
        subprocess.run(index, check=True, capture_output=True)
        assert server.get("/v1/search?q=red").json()["total"] == 3
        make_photo(photos / "new.png", 99)
        subprocess.run(index, check=True, capture_output=True)
        wait_until(lambda: "new.png" in names(server.get("/v1/search?q=red")))


def test_one_job_runs_and_reports_progress(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for seed in range(120):
        make_photo(photos / f"{seed}.png", seed, (300, 200))
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff no image")
    with serving(tmp_path / "collection", "--allow-index", photos) as server:
        started = server.post("/v1/index", json={"paths": [str(photos)]})
        assert started.status_code == 202
        job = started.headers["location"]
        assert server.post("/v1/index", json={}).status_code == 409
        events = []
        with server.client() as client, client.stream("GET", f"{job}/events") as stream:
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    events.append(json.loads(line.removeprefix("data: ")))
        assert len(events) >= 2
        assert (events[-1]["state"], events[-1]["report"]["indexed"]) == ("done", 120)
        assert [skipped["path"] for skipped in events[-1]["skipped"]] == ["photos/broken.jpg"]
        assert server.get(job).json() == events[-1]
        assert server.get("/v1/status").json()["contents"] == 120
        for seed in range(120, 520):
            make_photo(photos / f"{seed}.png", seed, (300, 200))
        job = server.post("/v1/index", json={}).headers["location"]
        wait_until(lambda: server.get(job).json()["done"] >= 8)
        httpx.delete(server.url + job)
        wait_until(lambda: server.get(job).json()["state"] != "running")
        assert server.get(job).json()["state"] == "cancelled"
        assert 120 < server.get("/v1/status").json()["contents"] < 520  # what it did is kept


def test_a_killed_job_is_interrupted(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for seed in range(200):
        make_photo(photos / f"{seed}.png", seed, (300, 200))
    collection = tmp_path / "collection"
    with serving(collection, "--allow-index", photos) as server:
        job = server.post("/v1/index", json={}).headers["location"]
        wait_until(lambda: _contents(server) >= 8)
        server.process.kill()
        server.process.wait()
    with serving(collection, "--allow-index", photos) as server:
        found = server.get(job).json()
        assert found["state"] == "interrupted"
        assert "kept" in found["error"]
        wait_until(lambda: any("was interrupted" in line for line in server.log))
        wait_until(lambda: _contents(server) >= 8)
        assert server.get("/v1/search?q=red").status_code == 200
        # Until the killed server's indexing process has ended by itself, there is another writer.
        wait_until(lambda: _index(server) == "done")
        assert server.get("/v1/status").json()["contents"] == 200


def _contents(server: Served) -> int:
    """How many contents are indexed; the status is a problem until there is a collection."""
    status = server.get("/v1/status").json()
    return int(status.get("contents", 0))


def _index(server: Served) -> str:
    """Start a job where none is running; its last state."""
    started = server.post("/v1/index", json={})
    if started.status_code != 202:
        return "refused"
    job = started.headers["location"]
    wait_until(lambda: server.get(job).json()["state"] != "running")
    return str(server.get(job).json()["state"])


def test_concurrent_searches_are_batched(
    photos_indexed: tuple[Path, Path],
) -> None:
    with serving(photos_indexed[1], "--queue", "4", "--query-cache", "0") as server:
        statuses: list[int] = []
        waits: set[str] = set()

        def ask(worker: int) -> None:
            with server.client() as client:
                for number in range(30):
                    answer = client.get("/v1/search", params={"q": f"{worker} and {number}"})
                    statuses.append(answer.status_code)
                    if answer.status_code == 503:
                        waits.add(answer.headers["retry-after"])

        threads = [threading.Thread(target=ask, args=(worker,)) for worker in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(statuses) == {200, 503}
        assert waits == {"1"}
        text = server.get("/metrics").text
        passes = float(text.split('clipdex_stage_seconds_count{stage="encode"} ')[1].split("\n")[0])
        assert passes < statuses.count(200)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/docs",
        "/docs/swagger-ui.css",
        "/static/app.js",
        "/openapi.json",
        "/healthz",
        "/metrics",
        "/v1/status",
        "/v1/search?q=a+cat",
        "/v1/images/1/file",
        "/v1/images/1/thumbnail",
        "/v1/images/999999",
        "/v1/jobs",
        "/v1/nothing",
    ],
)
def test_head_answers_as_get_without_the_body(served: Served, path: str) -> None:
    got, head = served.get(path), httpx.head(served.url + path, timeout=120)
    assert head.status_code == got.status_code
    assert head.content == b""
    varying = {"x-request-id", "date"}
    if path.startswith(("/metrics", "/v1/search")):  # counts and times are part of the body
        varying.add("content-length")
    assert {name: value for name, value in head.headers.items() if name not in varying} == {
        name: value for name, value in got.headers.items() if name not in varying
    }


def test_a_wrong_method_is_told_the_right_ones(served: Served) -> None:
    answer = served.post("/v1/status", json={})
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert served.get("/v1/label").headers["allow"] == "POST"


def test_head_of_a_stream_ends_at_once(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for seed in range(100):
        make_photo(photos / f"{seed}.png", seed, (300, 200))
    with serving(tmp_path / "collection", "--allow-index", photos) as server:
        job = server.post("/v1/index", json={}).headers["location"]
        head = httpx.head(f"{server.url}{job}/events", timeout=120)
        assert head.headers["content-type"].startswith("text/event-stream")
        assert server.get(job).json()["state"] == "running"
        wait_until(lambda: any('"method": "HEAD"' in line for line in server.log))
