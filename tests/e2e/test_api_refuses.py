"""What a server has to refuse: foreign pages, wrong keys, bombs, traversal, floods."""

import base64
import io
import json
import os
import shutil
import socket
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from serving.settings import InvalidKey, Settings
from support.command import COMMAND
from support.images import make_photo
from support.servers import Served, serving
from support.waiting import wait_until

JSON = {"Content-Type": "application/json"}


READER = {"X-API-Key": "looks only"}
WRITER = {"X-API-Key": "first key"}
# Questions that are asked by POST.
ASKED_BY_POST = {
    "/v1/search",
    "/v1/thumbnail",
    "/v1/search/image",
    "/v1/label",
    "/v1/labels/count",
    "/v1/classify-text",
    "/v1/embeddings",
    "/v1/download",
}


@pytest.fixture(scope="module")
def locked(photos_indexed: tuple[Path, Path]) -> Iterator[Served]:
    photos, collection = photos_indexed
    keys = ("--api-key", "first key", "--read-key", "looks only")
    allowed = ("--allow-index", photos)
    with serving(collection, *keys, *allowed, CLIPDEX_API_KEY_FILE="") as server:
        yield server


def refused(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, (answer.status_code, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["detail"]
    assert "\n" not in problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem


def test_keys_come_in_headers_only(locked: Served) -> None:
    refused(locked.get("/v1/status"), 401)
    refused(locked.get("/v1/status", headers={"Authorization": "Bearer wrong"}), 401)
    refused(locked.get("/v1/status", headers={"X-API-Key": ""}), 401)
    problem = refused(locked.get("/v1/status?api_key=first+key"), 401)
    assert "URL" in problem["detail"]
    for headers in ({"Authorization": "Bearer first key"}, {"X-API-Key": "first key"}):
        assert locked.get("/v1/status", headers=headers).status_code == 200
    for path in ("/v1/images/1/file", "/v1/images/1/thumbnail", "/metrics", "/v1/jobs"):
        refused(locked.get(path), 401)
    for path in ("/", "/docs", "/openapi.json", "/healthz", "/readyz", "/static/app.js"):
        assert locked.get(path).status_code == 200


def test_every_documented_operation_needs_a_key(locked: Served) -> None:
    document = locked.get("/openapi.json").json()
    public = {"/healthz", "/readyz", "/v1/session"}
    schemes = document["components"]["securitySchemes"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            needed = [name for one in operation.get("security", []) for name in one]
            assert needed == ([] if path in public else list(schemes)), (method, path)
            if path not in public:
                answer = httpx.request(method, locked.url + path.replace("{id}", "1"), timeout=120)
                refused(answer, 401)


def test_a_key_that_reads_changes_nothing(locked: Served) -> None:
    document = locked.get("/openapi.json").json()
    jobs = locked.get("/v1/jobs", headers=WRITER).json()  # perhaps of other tests
    tried: dict[bool, set[str]] = {True: set(), False: set()}
    for path, operations in document["paths"].items():
        if path == "/v1/session":
            continue
        for method in operations:
            where = locked.url + path.replace("{id}", "1")
            answer = httpx.request(method, where, headers=READER, timeout=120)
            writes = method != "get" and path not in ASKED_BY_POST
            tried[writes].add(path)
            if writes:
                problem = refused(answer, 403)
                assert (
                    problem["detail"]
                    == "this key lets you search and look, and not change anything"
                )
            else:
                assert answer.status_code not in (401, 403), (method, path, answer.text)
    assert {"/v1/index", "/v1/jobs/{id}"} <= tried[True]
    assert tried[False] >= ASKED_BY_POST
    assert locked.get("/v1/search?q=a+cat", headers=READER).json()["hits"]
    assert locked.get("/v1/jobs", headers=WRITER).json() == jobs
    refused(httpx.delete(f"{locked.url}/v1/jobs/none", headers=WRITER), 404)
    # Refused before the body is read, as without a key.
    head = "POST /v1/index HTTP/1.1\r\nHost: localhost\r\nX-API-Key: looks only\r\n"
    answer = locked.raw(f"{head}Content-Length: 1000000\r\n\r\n--".encode())
    assert answer.startswith(b"HTTP/1.1 403")


def test_a_session_has_the_right_of_its_key(locked: Served) -> None:
    for key, may_write in ((READER, False), (WRITER, True)):
        with locked.client() as client:
            body = {"key": key["X-API-Key"]}
            assert client.post("/v1/session", json=body).status_code == 204
            session = client.get("/v1/session").json()
            assert session == {"required": True, "signed_in": True, "may_write": may_write}
            assert client.get("/v1/status").status_code == 200
            refused(client.delete("/v1/jobs/none"), 404 if may_write else 403)
            # A key that is sent beside the session adds its right.
            refused(client.delete("/v1/jobs/none", headers=WRITER), 404)
            refused(client.post("/v1/index", json={"paths": ["/"]}, headers=READER), 403)
    refused(locked.get("/v1/status", headers={"Cookie": "clipdex_session=x"}), 401)


def test_a_server_without_keys_lets_everybody_write(served: Served) -> None:
    open_to_all = {"required": False, "signed_in": True, "may_write": True}
    assert served.get("/v1/session").json() == open_to_all


def test_keys_that_only_read_close_a_server(
    photos_indexed: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text("\ufefffrom file\n\n")
    file = {"CLIPDEX_READ_KEY_FILE": str(tmp_path / "keys")}
    options = ("--host", "0.0.0.0", "--allow-index", photos_indexed[0])  # a key is needed there
    with serving(photos_indexed[1], *options, CLIPDEX_READ_KEY="from-variable", **file) as server:
        at = f"http://127.0.0.1:{server.port}"
        refused(httpx.get(f"{at}/v1/status"), 401)
        for key in ("from-variable", "from file"):
            headers = {"X-API-Key": key}
            assert httpx.get(f"{at}/v1/status", headers=headers, timeout=60).status_code == 200
            refused(httpx.post(f"{at}/v1/index", json={}, headers=headers), 403)


def test_a_key_of_both_kinds_is_refused() -> None:
    with pytest.raises(InvalidKey, match="name it once"):
        Settings(api_keys=("one", "two"), read_keys=("two",))
    with pytest.raises(InvalidKey, match="ASCII"):
        Settings(read_keys=("",))


def test_a_body_is_not_read_without_a_key(locked: Served) -> None:
    head = "POST /v1/search/image HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data"
    answer = locked.raw(f"{head}; boundary=x\r\nContent-Length: 1000000\r\n\r\n--".encode())
    assert answer.startswith(b"HTTP/1.1 401")
    assert b"connection: close" in answer.lower()
    refused(locked.post("/v1/search", content=b'{"text": "a"', headers=JSON), 401)


def test_a_session_cookie_replaces_the_key(locked: Served) -> None:
    with locked.client() as client:
        assert client.get("/v1/session").json() == {
            "required": True,
            "signed_in": False,
            "may_write": False,
        }
        refused(client.post("/v1/session", json={"key": "wrong"}), 401)
        answer = client.post("/v1/session", json={"key": "first key"})
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert client.get("/v1/images/1/thumbnail").status_code == 200
        assert client.get("/v1/session").json()["signed_in"]
        client.delete("/v1/session")
    kept = {"Cookie": cookie.partition(";")[0]}
    refused(locked.get("/v1/images/1/thumbnail", headers=kept), 401)


def test_foreign_hosts_and_origins_are_refused(served: Served) -> None:
    refused(served.get("/v1/status", headers={"Host": "evil.example"}), 421)
    refused(served.get("/", headers={"Host": "evil.example:8765"}), 421)
    browser = {"Accept": "text/html,application/xhtml+xml"}
    page = served.get("/", headers={"Host": "nas.home;<b>&", **browser})
    assert (page.status_code, page.headers["content-type"]) == (421, "text/html; charset=utf-8")
    assert "clipdex serve --allow-host &#x27;nas.home;&lt;b&gt;&amp;&#x27;" in page.text
    assert "<b>" not in page.text
    assert "content-security-policy" in page.headers
    evil = {"Origin": "https://evil.example"}
    refused(served.post("/v1/search/image", json={}, headers=evil), 403)
    changing = ("/v1/index", "/v1/session", "/v1/images/tags", "/v1/concepts", "/v1/heads")
    for path in (*changing, "/v1/search", "/v1/label", "/v1/classify-text", "/v1/download"):
        refused(served.post(path, json={}, headers=evil), 403)
        refused(served.post(path, json={}, headers={"Origin": "null"}), 403)
        refused(served.post(path, json={}, headers={"Sec-Fetch-Site": "cross-site"}), 403)
    refused(httpx.delete(f"{served.url}/v1/learned/rex", headers=evil), 403)
    # What a form of another site's page can send without asking.
    plain = {"Content-Type": "text/plain", "Sec-Fetch-Site": "cross-site"}
    body = b'{"image_ids": [1], "add": ["hidden"]}'
    refused(served.post("/v1/images/tags", content=body, headers=plain), 403)
    refused(
        served.post("/v1/images/tags", content=body, headers={"Content-Type": "text/plain"}), 422
    )
    assert served.get("/v1/images/1").json()["tags"] == []
    own = {"Origin": served.url}
    assert served.post("/v1/search", json={"text": "a cat"}, headers=own).status_code == 200
    assert "access-control-allow-origin" not in served.get("/v1/status", headers=evil).headers


@pytest.mark.parametrize(
    "path",
    [
        "/v1/images/..%2f..%2fetc%2fpasswd/file",
        "/v1/images/../../etc/passwd",
        "/v1/images/%2e%2e/thumbnail",
        "/static/../api.py",
        "/static/..%2f..%2fapi.py",
        "/static/%2e%2e/%2e%2e/pyproject.toml",
        "/v1/jobs/..%2f..%2fcatalogue.sqlite3",
        "/v1/search?q=a&in=../..",
        "/v1/search?q=a&in=/etc",
        "/v1/search?q=a&in=%00",
        "/v1/download?ids=../../etc/passwd",
        "/v1/download?ids=1,..%2f..%2fetc%2fpasswd",
        "/v1/download/..%2f..%2fetc%2fpasswd",
        "/v1/tags/..%2f..%2fetc%2fpasswd",
        "/v1/learned/..%2f..%2fcatalogue.sqlite3",
    ],
)
def test_paths_lead_nowhere_else(served: Served, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = served.raw(request.encode())
    assert answer.split()[1] in (b"404", b"422"), answer
    assert b"root:" not in answer
    assert b"create_app" not in answer


def test_jobs_stay_in_the_allowed_folders(
    served: Served, photos_indexed: tuple[Path, Path], tmp_path: Path
) -> None:
    photos = photos_indexed[0]
    outside = tmp_path / "outside"
    outside.mkdir()
    link = photos / "link"
    link.symlink_to(outside)
    try:
        for path in (outside, "/", photos / "..", link, photos.parent, f"{photos}-more"):
            refused(served.post("/v1/index", json={"paths": [str(path)]}), 403)
        refused(served.post("/v1/index", json={"paths": ["photos"]}), 422)
        refused(served.post("/v1/index", json={"paths": [f"{photos}/missing"]}), 404)
    finally:
        link.unlink()
    with serving(photos_indexed[1]) as server:
        problem = refused(server.post("/v1/index", json={}), 403)
        assert "--allow-index" in problem["detail"]


def bomb() -> bytes:
    """A PNG of 60,000 x 60,000 pixels in a few kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + kind + data + check

    header = (60000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1 << 20)))
        + chunk(b"IEND", b"")
    )


def test_uploads_that_are_not_images_are_refused(served: Served) -> None:
    def upload(data: bytes, name: str = "x.png") -> httpx.Response:
        return served.post("/v1/search/image", files={"file": (name, data)})

    problem = refused(upload(bomb()), 413)
    assert "megapixels" in problem["detail"]
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    refused(upload(svg, "x.svg"), 415)
    refused(upload(b"<!doctype html><script>alert(1)</script>", "x.html"), 415)
    refused(upload(b"", "x.png"), 422)
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "PNG")
    refused(upload(buffer.getvalue()[:45]), 422)
    image = base64.b64encode(bomb()).decode()
    refused(served.post("/v1/search", json={"image": image}), 413)
    refused(served.post("/v1/label", json={"image": image, "labels": ["a"]}), 413)
    url = f"data:image/png;base64,{image}"
    refused(served.post("/v1/embeddings", json={"model": "pocket", "input": url}), 413)


def test_large_and_slow_requests_are_refused(
    served: Served, photos_indexed: tuple[Path, Path]
) -> None:
    head = "POST /v1/search/image HTTP/1.1\r\nHost: localhost\r\n"
    answer = served.raw(f"{head}Content-Length: {200 * 2**20}\r\n\r\n".encode() + bytes(1000))
    assert answer.startswith(b"HTTP/1.1 413")
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    answer = served.raw(
        b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\n"
        + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunk * 700
    )
    assert answer.startswith(b"HTTP/1.1 413") or answer == b""  # reset while we still sent
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\nabc'
    truncated = served.post(
        "/v1/search/image",
        content=body,
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )
    assert truncated.status_code in (400, 422), truncated.text
    refused(truncated, truncated.status_code)
    large = served.raw(f"GET / HTTP/1.1\r\nHost: localhost\r\nX: {'a' * 65536}\r\n\r\n".encode())
    assert large.split()[1] in (b"400", b"431"), large[:200]
    refused(served.get("/v1/status", headers={"X": "a" * 20000}), 431)
    with serving(photos_indexed[1], "--body-seconds", "1") as server:
        with socket.create_connection(("127.0.0.1", server.port), 5) as slow:
            kind = "Content-Type: multipart/form-data; boundary=x"
            slow.sendall(f"{head}{kind}\r\nContent-Length: 1000\r\n\r\n--".encode())
            slow.settimeout(120)
            assert slow.recv(65536).startswith(b"HTTP/1.1 408")
        assert server.get("/v1/search?q=a").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/duplicates?k=101",
        "/v1/duplicates?k=0",
        "/v1/duplicates?offset=-1",
        "/v1/duplicates?threshold=0",
        "/v1/search?q=a&k=1000000000",
        "/v1/search?q=a&k=0",
        "/v1/search?q=a&k=x",
        "/v1/search?q=a&offset=-1",
        "/v1/search?q=a&min_relevance=nan",
        "/v1/search?q=a&min_relevance=2",
        "/v1/search?q=a&since=never",
        "/v1/search?q=a&label=cat>7",
        "/v1/search?q=a&since=2024&until=2023",
        "/v1/search?q=a&label=cat>1e400",
        "/v1/search?q=a&k=99999999999999999999999",
        "/v1/images/1/thumbnail?size=99999999999999999999999",
        "/v1/search?q=a&unknown=1",
        "/v1/images/1?size=320",
        "/v1/images/1/similar?foo=1",
        "/v1/images/1/thumbnail?width=1",
        "/v1/images/1/file?original=1",
        "/v1/status?foo",
        "/v1/models?foo=1",
        "/v1/folders?foo=1",
        "/v1/jobs?foo=1",
        "/v1/session?foo=1",
        "/healthz?foo=1",
        "/readyz?foo=1",
        "/metrics?foo=1",
        "/v1/search?not=a",
        "/v1/search?q=%20",
        "/v1/images/0",
        "/v1/images/99999999999999999999999",
        "/v1/images/1/similar?k=501",
        "/v1/download",
        "/v1/download?ids=",
        "/v1/download?ids=0",
        "/v1/download?ids=-1",
        "/v1/download?ids=1.5",
        "/v1/download?ids=1,,2",
        "/v1/download?ids=1,2,",
        "/v1/download?ids=1&name=x",
        "/v1/download?ids=%D9%A1",  # a one, and no ASCII
        "/v1/download?ids=1%0A",
        "/v1/download?ids=9223372036854775808",
        "/v1/download?ids=99999999999999999999999",
        "/v1/download?ids=" + ",".join(["1"] * 2001),
        "/v1/tags?k=0",
        "/v1/tags?k=10001",
        "/v1/tags?prefix=" + "a" * 201,
        "/v1/tags?foo=1",
        "/v1/search?tag=",
        "/v1/search?tag=%20",
        "/v1/search?tag=a%00b",
        "/v1/search?tag=a%0Ab",
        "/v1/search?tag=%1b%5B2J",
        "/v1/search?tag=" + "a" * 201,
        "/v1/search?" + "&".join(f"tag={n}" for n in range(21)),
    ],
)
def test_invalid_parameters_are_refused(served: Served, path: str) -> None:
    refused(served.get(path), 422)


@pytest.mark.parametrize(
    "body",
    [
        b'{"text": "a", "weights": {"text": NaN}}',
        b'{"text": "a", "weights": {"text": Infinity}}',
        b'{"text": "\\ud800"}',
        b'{"text": "a", "weights": {"text": 1e400}}',
        b'{"text": "a", "k": 1000000000}',
        b'{"text": "a", "k": %s}' % (b"9" * 400),
        b'{"image_id": 99999999999999999999999}',
        b'{"text": "a", "filter": {"in": ["a\\u0000b"]}}',
        b'{"text": "a", "filter": {"since": "2024", "until": "2023"}}',
        b'{"text": "a", "filter": {"labels": ["cat>nan"]}}',
        b'{"text": "a", "unknown": 1}',
        b'{"text": "a", "filter": {"unknown": 1}}',
        b'{"image": "no base64!"}',
        b'{"image_id": 1, "image": ""}',
        b'{"text": "a", "not": ["a"]}',
        b"{}",
        b"[1, 2]",
        b'{"text": "a"',
        b"\xff\xfe",
    ],
)
def test_invalid_bodies_are_refused(served: Served, body: bytes) -> None:
    answer = served.post("/v1/search", content=body, headers=JSON)
    refused(answer, 400 if body == b"\xff\xfe" and answer.status_code == 400 else 422)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b"null",
        b'{"image_ids": [1]}',
        b'{"image_ids": [1], "add": [], "remove": []}',
        b'{"image_ids": [], "add": ["a"]}',
        b'{"image_ids": [0], "add": ["a"]}',
        b'{"image_ids": [-1], "add": ["a"]}',
        b'{"image_ids": [9223372036854775808], "add": ["a"]}',
        b'{"image_ids": [%s], "add": ["a"]}' % (b"9" * 400),
        b'{"image_ids": ["../1"], "add": ["a"]}',
        b'{"image_ids": [NaN], "add": ["a"]}',
        b'{"image_ids": "1", "add": ["a"]}',
        b'{"image_ids": [%s], "add": ["a"]}' % b",".join([b"1"] * 501),
        b'{"image_ids": [1], "add": "a"}',
        b'{"image_ids": [1], "add": [1]}',
        b'{"image_ids": [1], "add": [null]}',
        b'{"image_ids": [1], "add": [""]}',
        b'{"image_ids": [1], "add": [" \\t "]}',
        b'{"image_ids": [1], "add": ["a\\u0000b"]}',
        b'{"image_ids": [1], "add": ["a\\nb"]}',
        b'{"image_ids": [1], "add": ["\\u001b[2J"]}',
        b'{"image_ids": [1], "add": ["a\\u2028b"]}',
        b'{"image_ids": [1], "add": ["a\\uffff"]}',
        b'{"image_ids": [1], "add": ["\\ud800"]}',
        b'{"image_ids": [1], "remove": ["\\udfff"]}',
        b'{"image_ids": [1], "add": ["%s"]}' % (b"x" * 65536),
        b'{"image_ids": [1], "add": [%s]}' % b",".join(b'"%d"' % n for n in range(21)),
        b'{"image_ids": [1], "add": ["a"], "remove": [%s]}'
        % b",".join(b'"%d"' % n for n in range(20)),
        b'{"image_ids": [1], "add": ["a"], "remove": [" a"]}',
        b'{"image_ids": [1], "add": ["a"], "origin": "head:x"}',
        b'{"image_ids": [1], "add": ["\xff"]}',
    ],
)
def test_tags_that_make_no_sense_are_refused(served: Served, body: bytes) -> None:
    answer = served.post("/v1/images/tags", content=body, headers=JSON)
    refused(answer, 400 if b"\xff" in body and answer.status_code == 400 else 422)
    assert served.get("/v1/tags").json() == {"total": 0, "tags": []}


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"image_ids": []}',
        b'{"image_ids": [0]}',
        b'{"image_ids": [9223372036854775808]}',
        b'{"image_ids": ["/etc/passwd"]}',
        b'{"image_ids": [1], "names": ["../x"]}',
        b'{"image_ids": [%s]}' % b",".join([b"1"] * 2001),
        b'{"ids": "1"}',
    ],
)
def test_downloads_that_make_no_sense_are_refused(served: Served, body: bytes) -> None:
    refused(served.post("/v1/download", content=body, headers=JSON), 422)


def test_a_download_without_an_image_is_not_found(served: Served) -> None:
    refused(served.get("/v1/download?ids=9223372036854775807"), 404)
    refused(served.get("/v1/download?ids=" + ",".join(["9" * 9] * 1600)), 404)  # 16,000 bytes
    refused(served.get("/v1/download?ids=" + ",".join(["9" * 12] * 2000)), 431)


def test_an_empty_collection_has_no_tags(tmp_path: Path) -> None:
    with serving(tmp_path / "none") as server:
        assert server.get("/v1/tags").json() == {"total": 0, "tags": []}
        refused(server.post("/v1/images/tags", json={"image_ids": [1], "add": ["a"]}), 404)
        refused(server.get("/v1/download?ids=1"), 404)
    assert not (tmp_path / "none" / "catalogue.sqlite3").exists()


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"name": "topics"}',
        b'{"name": "topics", "texts": []}',
        b'{"name": "topics", "texts": "a dog"}',
        b'{"name": "topics", "texts": [1]}',
        b'{"name": "topics", "texts": [" "]}',
        b'{"name": "topics", "texts": ["\\ud800"]}',
        b'{"name": "topics", "texts": ["a"], "top": 0}',
        b'{"name": "topics", "texts": ["a"], "top": 1e9}',
        b'{"name": "topics", "texts": ["a"], "unknown": 1}',
        b'{"name": "../heads/x", "texts": ["a"]}',
        b'{"name": "/etc/passwd", "texts": ["a"]}',
        b'{"name": "a\\u0000b", "texts": ["a"]}',
        b'{"name": ".new-x", "texts": ["a"]}',
        b'{"name": "%s", "texts": ["a"]}' % (b"x" * 65),
        b'{"name": "topics", "texts": ["%s"]}' % (b"x" * 2001),
        b'{"name": "topics", "texts": [%s]}' % b",".join([b'"a"'] * 65),
    ],
)
def test_texts_that_cannot_be_classified_are_refused(served: Served, body: bytes) -> None:
    refused(served.post("/v1/classify-text", content=body, headers=JSON), 422)


def test_an_unknown_text_classifier_is_not_found(served: Served) -> None:
    body = {"name": "topics", "texts": ["a dog"]}
    problem = refused(served.post("/v1/classify-text", json=body), 404)
    assert "topics" in problem["detail"]
    folder = served.collection / "text" / "broken"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    refused(served.post("/v1/classify-text", json={**body, "name": "broken"}), 409)
    shutil.rmtree(folder.parent)


def test_an_unknown_image_is_not_found(served: Served) -> None:
    for path in ("", "/file", "/thumbnail", "/similar"):
        refused(served.get(f"/v1/images/999999{path}"), 404)
    refused(served.post("/v1/search", json={"image_id": 999999}), 404)
    refused(served.post("/v1/label", json={"image_ids": [999999], "labels": ["a"]}), 404)
    refused(served.get("/v1/nothing"), 404)
    refused(served.post("/internal/search", json={}), 404)
    refused(served.post("/v1/status"), 405)


def test_a_public_address_needs_a_key(tmp_path: Path) -> None:
    done = subprocess.run(
        [COMMAND, "serve", "--host", "0.0.0.0", "--collection", tmp_path], capture_output=True
    )
    assert done.returncode == 1
    assert b"--api-key" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_port_in_use_is_one_line(served: Served, tmp_path: Path) -> None:
    done = subprocess.run(
        [COMMAND, "serve", "--port", str(served.port), "--collection", tmp_path],
        capture_output=True,
    )
    assert done.returncode == 1
    assert b"--port" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_rate_limit_refuses_with_429(photos_indexed: tuple[Path, Path]) -> None:
    with serving(photos_indexed[1], "--rate-limit", "0.2") as server, server.client() as client:
        answers = [client.get("/healthz") for _ in range(20)]
        assert {answer.status_code for answer in answers} == {200, 429}
        last = refused(answers[-1], 429)
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert last["title"] == "Too Many Requests"


def test_files_have_no_metadata_and_links_are_refused(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    located = make_photo(photos / "located.jpg", 1)
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "SecretCamera"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (48.0, 12.0, 30.0)
    with Image.open(located) as image:
        image.save(located, exif=exif, comment=b"SecretComment", quality=95)
    with open(located, "ab") as file:
        file.write(b"SecretTail")
    odd = os.fsencode(photos) + b"/caf\xe9.png"
    shutil.copy(make_photo(photos / "plain.png", 2), odd)
    (photos / "plain.png").unlink()
    swapped = make_photo(photos / "swapped.png", 3)
    collection = tmp_path / "collection"
    index = [COMMAND, "index", photos, "--collection", collection]
    subprocess.run(index, check=True, capture_output=True)
    (tmp_path / "secret.png").write_bytes(swapped.read_bytes())
    info = swapped.stat()
    swapped.unlink()
    swapped.symlink_to(tmp_path / "secret.png")
    os.utime(tmp_path / "secret.png", ns=(info.st_atime_ns, info.st_mtime_ns))
    with serving(collection) as server:
        hits = {hit["path"]: hit for hit in server.get("/v1/search").json()["hits"]}
        answer = server.get(hits["located.jpg"]["file"])
        assert answer.status_code == 200
        assert b"Secret" not in answer.content
        with Image.open(io.BytesIO(answer.content)) as shown, Image.open(located) as original:
            assert dict(shown.getexif()) == {0x0112: 6}  # it still stands upright
            assert shown.tobytes() == original.tobytes()
        named = hits["caf\ufffd.png"]
        assert base64.b64decode(named["path_b64"]) == b"caf\xe9.png"
        assert server.get(named["file"]).status_code == 200
        with Image.open(io.BytesIO(server.get(named["file"]).content)) as shown:
            assert shown.size == (96, 72)
        refused(server.get(hits["swapped.png"]["file"]), 404)
        refused(server.get(hits["swapped.png"]["thumbnail"]), 404)
    with serving(collection, "--originals") as server:
        assert server.get(hits["located.jpg"]["file"]).content == located.read_bytes()


def test_security_headers(served: Served) -> None:
    headers = served.get("/").headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers
    assert served.get("/v1/status").headers["cache-control"] == "no-store"
    wait_until(lambda: any('"path": "/v1/status"' in line for line in served.log))
    log = [json.loads(line) for line in served.log if line.startswith("{")]
    assert log[-1].keys() == {"request_id", "client", "method", "path", "status", "bytes", "ms"}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/search",
        "/v1/search/image",
        "/v1/label",
        "/v1/index",
        "/v1/images/tags",
        "/v1/download",
    ],
)
def test_unknown_parameters_of_a_post_are_refused(served: Served, path: str) -> None:
    problem = refused(served.post(f"{path}?foo=1", json={"text": "a"}), 422)
    assert "foo" in problem["detail"]
