"""A Hugging Face hub on loopback: listings, metadata, files with ranges, and faults on request."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c" * 40
LARGE = 10_000  # as the hub does: larger files go by their SHA-256, smaller ones by git's SHA-1


@dataclass
class FakeHub:
    """files: content by "org/name/file". sums: what the hub claims instead of a file's own etag.
    cut: close the connection after so many bytes of a large file, and give nothing of what
    comes behind. requests: (method, file, range) of each, in order. sizes: what listings claim
    instead of a file's own. answers: (status, headers, body) to requests whose path starts so.
    """

    files: dict[str, bytes]
    sums: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    url: str = ""

    def etag(self, name: str) -> str:
        data = self.files[name]
        if name in self.sums:
            return self.sums[name]
        if len(data) > LARGE:
            return hashlib.sha256(data).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()

    def listing(self, repo: str) -> bytes | None:
        """What the hub's API says of a repository; None if there is none."""
        names = [name for name in self.files if name.startswith(f"{repo}/")]
        siblings = [
            {"rfilename": name.removeprefix(f"{repo}/"),
             "size": self.sizes.get(name, len(self.files[name]))}
            for name in names
        ]  # fmt: skip
        answer = {"id": repo, "modelId": repo, "sha": COMMIT, "siblings": siblings}
        return json.dumps(answer).encode() if names else None

    def ranges(self, file: str) -> list[str | None]:
        """The ranges that were asked of a file, in order; None for all of it."""
        return [span for method, name, span in self.requests if name == file and method == "GET"]


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve `hub` at `hub.url` while inside."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def send(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for key, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def answer(self) -> None:
            for start, given in hub.answers.items():
                if self.path.startswith(start):
                    self.send(*given)
                    return
            if self.path.startswith("/api/models/"):
                asked = self.path.removeprefix("/api/models/").partition("?")[0]
                listing = hub.listing(asked.partition("/revision/")[0])
                missing = {"X-Error-Code": "RepoNotFound"}
                self.send(200 if listing else 404, {} if listing else missing, listing or b"")
                return
            repo, _, rest = self.path.strip("/").partition("/resolve/")
            name = f"{repo}/{rest.partition('/')[2]}"
            span = self.headers.get("Range")
            hub.requests.append((self.command, name, span))
            if name not in hub.files:
                known = any(file.startswith(f"{repo}/") for file in hub.files)
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound" if known else "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            data = hub.files[name]
            begin = int(span.removeprefix("bytes=").split("-")[0]) if span else 0
            self.send_response(206 if span else 200)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hub.etag(name)}"')
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(data) - begin))
            if span:
                self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
            self.end_headers()
            if self.command == "HEAD":
                return
            if hub.cut is not None and len(data) > LARGE:
                self.wfile.write(data[begin : hub.cut])
                self.wfile.flush()
                self.close_connection = True
                self.connection.close()
                return
            self.wfile.write(data[begin:])

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(ConnectionError, ValueError, OSError):
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
