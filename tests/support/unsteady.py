"""A proxy before a server that notes requests, and can be told to drop, refuse or lose answers."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

REFUSED = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"""
MISSING = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"""

Fault = Callable[[str, str], str | None]
"""Return "drop", "refuse", "lose" or "hang" for (method, path), or None to pass it on."""


@dataclass
class Unsteady:
    """A running proxy.

    url: where it listens.
    requests: (method, path without query) of what it was asked.
    fault: what it does to a request.
    """

    url: str
    requests: list[tuple[str, str]] = field(default_factory=list)
    fault: Fault = lambda method, path: None
    ended: threading.Event = field(default_factory=threading.Event)

    def reads(self, suffix: str = "") -> list[str]:
        """The paths of files that were asked for with GET."""
        return [
            path
            for method, path in self.requests
            if method == "GET" and path.endswith(suffix) and "." in path.rpartition("/")[2]
        ]

    @contextmanager
    def failing(self, fault: Fault) -> Iterator[None]:
        """Do this to requests until the block ends."""
        before, self.fault = self.fault, fault
        try:
            yield
        finally:
            self.fault = before

    def times(self, count: int, what: str, suffix: str) -> Fault:
        """A fault of the first GETs of each path that ends so."""
        seen: dict[str, int] = {}
        lock = threading.Lock()

        def fault(method: str, path: str) -> str | None:
            if method != "GET" or not path.endswith(suffix):
                return None
            with lock:
                seen[path] = seen.get(path, 0) + 1
                return what if seen[path] <= count else None

        return fault


@contextmanager
def unsteady(server: str) -> Iterator[Unsteady]:
    """A proxy before `server` until the block ends."""
    target = urlsplit(server)

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = unquote(urlsplit(self.path).path)
            proxy.requests.append((self.command, path))
            fault = proxy.fault(self.command, path)
            if fault in ("refuse", "lose"):
                self.answer(*((403, REFUSED) if fault == "refuse" else (404, MISSING)))
                return
            if fault == "hang":
                proxy.ended.wait(60)
                self.close_connection = True
                return
            assert target.hostname is not None
            onward = http.client.HTTPConnection(target.hostname, target.port, timeout=60)
            onward.request(self.command, self.path, body, dict(self.headers.items()))
            answer = onward.getresponse()
            data = answer.read()
            onward.close()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else None
            self.send_header("Content-Length", length or str(len(data)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if fault == "drop":
                self.wfile.write(data[: len(data) // 2])
                self.wfile.flush()
                self.close_connection = True
                return
            self.wfile.write(data)

        def answer(self, status: int, data: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = forward  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as listening:
        listening.daemon_threads = True
        proxy = Unsteady(f"http://127.0.0.1:{listening.server_port}")
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield proxy
        proxy.ended.set()
        listening.shutdown()
        thread.join()
