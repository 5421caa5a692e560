"""A server among others who want its words, its keys, its files or its time."""

import json
import os
import resource
import shutil
import socket
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from search.socket_path import socket_path
from support.command import COMMAND, json_lines
from support.images import make_photo
from support.servers import Served, serving


def search(collection: Path, *options: str, **environment: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [COMMAND, "search", "a cat", "--json", "--collection", collection, *options],
        capture_output=True,
        env={**os.environ, **environment},
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return json_lines(done)


@contextmanager
def listening(server: socket.socket, *answers: bytes, drips: bool = False) -> Iterator[list[bytes]]:
    """What is received at a socket, at which each connection gets the next answer."""
    received: list[bytes] = []
    ended = threading.Event()

    def serve() -> None:
        for answer in answers:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                received.append(connection.recv(65536))
                try:
                    if drips:
                        while not ended.wait(0.2):
                            connection.sendall(b"[")
                    connection.sendall(answer)
                except OSError:
                    pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield received
    finally:
        ended.set()
        server.close()
        thread.join(timeout=10)


def test_a_collection_does_not_name_the_server(
    photos_indexed: tuple[Path, Path], tmp_path: Path
) -> None:
    collection = tmp_path / "downloaded"
    shutil.copytree(photos_indexed[1], collection)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (collection / "server.json").write_text(
            json.dumps({"pid": 1, "host": "127.0.0.1", "port": port, "secret": "x"})
        )
        with listening(server, b"HTTP/1.0 200 OK\r\n\r\n[]") as received:
            assert len(search(collection)) == 6
        assert received == []


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A folder whose path is short enough for a socket in it."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


HIT = {
    "rank": 1, "id": 1, "raw_paths": ["L2EvYi5wbmc="], "score": 0.5, "relevance": 0.5, "width": 1,
    "height": 1, "file_times": [0], "capture_seconds": None, "capture_offset": None,
    "collapsed": None, "digest": "00", "found_by": [],
}  # fmt: skip
ANSWER = {"hits": [HIT], "total": 1, "total_matches": None}


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="the system has no Unix sockets")
def test_a_forged_answer_is_not_printed(photos_indexed: tuple[Path, Path], runtime: Path) -> None:
    (runtime / "clipdex").mkdir(mode=0o700)
    environment = {"XDG_RUNTIME_DIR": str(runtime)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        path = socket_path(photos_indexed[1])
    assert path is not None
    forged: list[Any] = [
        ANSWER | {"hits": [HIT | {"raw_paths": ["bm90IGFic29sdXRl"]}]},
        ANSWER | {"hits": [HIT | {"raw_paths": []}]},
        ANSWER | {"hits": [HIT | {"score": float("nan")}]},
        ANSWER | {"hits": [HIT | {"id": "1; drop"}]},
        ANSWER | {"hits": [HIT | {"more": 1}]},
        ANSWER | {"hits": [HIT | {"found_by": ["\x1b[31m"]}]},
        ANSWER | {"total_named": "1"},
        ANSWER | {"total": -1},
        ANSWER | {"total_matches": "1"},
        ANSWER | {"more": 1},
        ANSWER | {"foreign_language": "de; rm -r ~"},
        {"hits": [HIT]},
        [HIT],
        "[" * 100_000,
        None,
        [1],
    ]
    right = search(photos_indexed[1])
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(path))
        server.listen()
        data = [one if isinstance(one, str) else json.dumps(one) for one in forged]
        with listening(server, *(one.encode() for one in [*data, json.dumps(ANSWER)])):
            for _ in forged:
                assert search(photos_indexed[1], **environment) == right
            assert search(photos_indexed[1], **environment)[0]["path"] == "/a/b.png"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(path))
        server.listen()
        with listening(server, b"", drips=True):
            assert search(photos_indexed[1], **environment) == right
    # The folder of somebody else, or one that others may write, is not looked into.
    (runtime / "clipdex").chmod(0o777)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        assert socket_path(photos_indexed[1]) is None


@pytest.mark.parametrize(
    ("options", "environment"),
    [
        (("--api-key", ""), {}),
        (("--api-key", " "), {}),
        (("--api-key", "good", "--api-key", ""), {}),
        ((), {"CLIPDEX_API_KEY": ""}),
        (("--api-key-file", "empty"), {}),
        (("--api-key-file", "blank"), {}),
        (("--read-key", ""), {}),
        ((), {"CLIPDEX_READ_KEY": ""}),
        (("--read-key-file", "blank"), {}),
        (("--api-key", "good", "--read-key", "good"), {}),
    ],
)
def test_empty_keys_are_refused(
    tmp_path: Path, options: tuple[str, ...], environment: dict[str, str]
) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "blank").write_text(" \n\n")
    done = subprocess.run(
        [COMMAND, "serve", "--port", "0", "--host", "0.0.0.0", "--insecure", *options],
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, **environment},
        timeout=60,
    )
    assert done.returncode in (1, 2)
    assert b"key" in done.stderr
    assert b"Traceback" not in done.stderr


def test_keys_cannot_be_guessed(photos_indexed: tuple[Path, Path]) -> None:
    with serving(photos_indexed[1], "--api-key", "the key") as server, server.client() as client:
        right = {"Authorization": "Bearer the key"}
        cookie = client.post("/v1/session", json={"key": "the key"}).headers["set-cookie"]
        client.cookies.clear()
        answers = Counter[int]()
        for number in range(60):
            # Who the client is, it does not say itself.
            forged = {"X-Forwarded-For": f"192.0.2.{number}"}
            guess = {"Authorization": f"Bearer {number}", **forged}
            answers[client.get("/v1/status", headers=guess).status_code] += 1
            answers[
                client.post("/v1/session", json={"key": str(number)}, headers=forged).status_code
            ] += 1
        assert answers.keys() == {401, 429}
        assert answers[401] <= 20
        refused = client.get("/v1/status", headers=right)
        assert refused.status_code == 429  # the right key is not looked at either
        assert int(refused.headers["retry-after"]) >= 1
        kept = {"Cookie": cookie.partition(";")[0]}
        assert client.get("/v1/status", headers=kept).status_code == 200


def test_a_proxy_is_trusted_by_an_option(photos_indexed: tuple[Path, Path]) -> None:
    with serving(
        photos_indexed[1], "--rate-limit", "0.001", "--trusted-proxy", "127.0.0.0/8"
    ) as server:
        first = [
            server.get("/healthz", headers={"X-Forwarded-For": f"192.0.2.{n}"}) for n in range(5)
        ]
        assert {answer.status_code for answer in first} == {200}
        again = server.get("/healthz", headers={"X-Forwarded-For": "192.0.2.1"})
        assert again.status_code == 429
    with serving(photos_indexed[1], "--rate-limit", "0.001") as server:
        answer = server.get("/healthz", headers={"X-Forwarded-For": "192.0.2.1"})
        assert answer.status_code == 429


def test_jobs_do_not_tell_where_folders_lie(tmp_path: Path) -> None:
    photos = tmp_path / "secret place" / "photos"
    make_photo(photos / "inner" / "a.png", 1)
    (photos / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no image")
    with serving(tmp_path / "collection", "--allow-index", photos) as server:
        inner = {"paths": [str(photos / "inner")]}
        for body, paths in (({}, ["photos"]), (inner, ["photos/inner"])):
            job = server.post("/v1/index", json=body).json()
            assert job["paths"] == paths
            events = server.get(f"/v1/jobs/{job['id']}/events").text
            assert "secret place" not in events
            assert '"state":"done"' in events
        assert "secret place" not in server.get("/v1/jobs").text
        assert "broken.png" in server.get("/v1/jobs").text
        assert server.get("/v1/status").json()["can_index"] == ["photos"]
    with serving(tmp_path / "collection", "--allow-index", photos, "--expose-paths") as server:
        assert server.get("/v1/status").json()["can_index"] == [str(photos)]


def open_files(server: Served) -> int:
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted in /proc")
def test_slow_clients_keep_nobody_out(photos_indexed: tuple[Path, Path]) -> None:
    prefix = ("bash", "-c", 'ulimit -n 600; exec "$@"', "bash")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    try:
        with serving(photos_indexed[1], prefix=prefix) as server, ExitStack() as open_:
            for number in range(700):
                slow = open_.enter_context(
                    socket.create_connection(("127.0.0.1", server.port), timeout=20)
                )
                slow.sendall(b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
                if number % 100 == 99:
                    assert server.get("/healthz").status_code == 200
            assert open_files(server) < 400
            first_lines = [line for line in server.log if "connections are open" in line]
            assert len(first_lines) == 1
            assert not any("Traceback" in line for line in server.log)
            # Those that are left are closed as well, without a further word of the client.
            slow.settimeout(60)
            assert slow.recv(1) == b""
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_image_that_becomes_a_link_is_not_found(tmp_path: Path) -> None:
    photos, collection = tmp_path / "photos", tmp_path / "collection"
    image = make_photo(photos / "a.png", 1)
    secret = make_photo(tmp_path / "secret.png", 2)
    kept = shutil.copy2(image, tmp_path / "kept.png")
    subprocess.run([COMMAND, "index", photos, "--collection", collection], check=True)
    ended = threading.Event()

    def swap() -> None:
        other = tmp_path / "other"
        while not ended.is_set():
            for link in (True, False):
                if link:
                    other.symlink_to(secret)
                else:
                    shutil.copy2(kept, other)
                os.replace(other, image)

    with serving(collection) as server, server.client() as client:
        swapping = threading.Thread(target=swap)
        swapping.start()
        try:
            answers = [client.get("/v1/images/1/file") for _ in range(600)]
        finally:
            ended.set()
            swapping.join()
    assert {answer.status_code for answer in answers} <= {200, 404}
    assert len({answer.content for answer in answers if answer.status_code == 200}) <= 1


def test_a_deleted_image_is_not_asked_for(tmp_path: Path) -> None:
    photos, collection = tmp_path / "photos", tmp_path / "collection"
    for seed in range(3):
        make_photo(photos / f"{seed}.png", seed)
    index = [COMMAND, "index", photos, "--collection", collection]
    subprocess.run(index, check=True)
    (photos / "0.png").unlink()
    subprocess.run(index, check=True)
    with serving(collection) as server:
        there = {hit["id"] for hit in server.get("/v1/search?q=red").json()["hits"]}
        gone = ({1, 2, 3} - there).pop()
        assert server.get(f"/v1/images/{gone}/similar").status_code == 404
        assert server.post("/v1/search", json={"image_id": gone}).status_code == 404
        body = {"image_ids": [gone], "labels": ["a", "b"]}
        assert server.post("/v1/label", json=body).status_code == 404
        found = server.get(f"/v1/images/{min(there)}/similar").json()
        assert (found["total"], len(found["hits"])) == (1, 1)


def test_a_label_with_control_characters_is_refused_and_blocks_nothing(tmp_path: Path) -> None:
    photos, collection = tmp_path / "photos", tmp_path / "collection"
    image = make_photo(photos / "a.png", 1)
    environment = {**os.environ, "CLIPDEX_COLLECTION": str(collection)}

    def run(*command: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([COMMAND, *command], capture_output=True, env=environment)  # type: ignore[list-item]

    assert run("index", photos).returncode == 0
    for label in ("a\x07b", "a\x1b[31m", "a\nb", "a\u2028b"):
        done = run("tags", "add", label, image)
        assert done.returncode == 2
        assert b"control character" in done.stderr
    assert run("tags", "add", "pear", image).returncode == 0
    import sqlite3

    with sqlite3.connect(collection / "catalogue.sqlite3") as catalog:
        catalog.execute("INSERT INTO labels SELECT content, 'be\x07ll', origin, 1.0 FROM labels")
    catalog.close()
    done = run("tags", "export", "--xmp")
    assert done.returncode == 0, done.stderr
    assert b"left out the label" in done.stderr
    assert "pear" in (photos / "a.png.xmp").read_text()


def test_the_proxy_headers_of_others_are_not_believed(photos_indexed: tuple[Path, Path]) -> None:
    with serving(photos_indexed[1], "--api-key", "the key") as server:
        answer = httpx.post(
            f"{server.url}/v1/session",
            json={"key": "the key"},
            headers={"X-Forwarded-Proto": "https"},
        )
        assert "secure" not in answer.headers["set-cookie"].lower()
