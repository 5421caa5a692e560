"""A line of JSON and a count for every request, and the id that both share with problems."""

import json
import logging
import re
import secrets
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.metrics import Metrics

log = logging.getLogger("clipdex.access")

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class AccessLogMiddleware:
    """Gives each request an id, the client's own if it makes sense, and records how it ended.

    Args:
        app: The application.
        metrics: Where requests are counted.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        proposed = Headers(scope=scope).get("x-request-id", "")
        sensible = re.fullmatch(r"[\w.-]{1,64}", proposed)
        request_id = proposed if sensible else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        started = time.perf_counter()
        status = 500  # unless something else is sent
        size = 0

        async def send_counted(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            else:
                size += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive, send_counted)
        finally:
            self._record(scope, status, size, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int, size: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in METHODS else "other"
        self.metrics.requests.labels(method, route, status).inc()
        self.metrics.seconds.labels("request").observe(seconds)
        if log.isEnabledFor(logging.INFO):
            line = {
                "request_id": scope["state"]["request_id"],
                "client": scope["client"][0] if scope["client"] else None,
                "method": method,
                "path": scope["path"],
                "status": status,
                "bytes": size,
                "ms": round(seconds * 1000, 2),
            }
            log.info(json.dumps(line))
