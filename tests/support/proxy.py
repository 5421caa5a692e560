"""A reverse proxy that shows a server below a path, as nginx and others do."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import httpx

from support.web import listening

HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "date", "content-encoding"}


@contextmanager
def proxied(server: str, prefix: str, *, strip: bool) -> Iterator[str]:
    """The URL of a proxy before `server` until the block ends; elsewhere it answers 404.

    strip: whether it takes the prefix off before it passes a request on.
    """

    class Proxy(BaseHTTPRequestHandler):
        def forward(self) -> None:
            if not self.path.startswith(f"{prefix}/"):
                self.send_error(404)
                return
            path = self.path.removeprefix(prefix) if strip else self.path
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = dict(self.headers.items())
            try:
                answer = httpx.request(
                    self.command, server + path, headers=headers, content=body, timeout=60
                )
            except httpx.HTTPError as exc:
                self.send_error(502, str(exc))
                return
            self.send_response(answer.status_code)
            for name, value in answer.headers.multi_items():
                if name not in HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.content)

        do_GET = do_HEAD = do_POST = do_DELETE = forward  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            pass

    with listening(Proxy) as url:
        yield url
