"""What each request passes before any route sees it, and what each answer carries.

Host names are checked always: a page elsewhere can let its own name lead to this machine (DNS
rebinding). Plain addresses cannot be rebound. Requests that change something must not come from
another site's page. Bodies are counted while they come, and have to come in time.
"""

import asyncio
import ipaddress
import json
import logging
import re
import secrets
import socket
import time
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import MEDIA_TYPE, Problem, document
from serving.metrics import Metrics
from serving.settings import Settings

from .credentials import COOKIE, Access
from .rate_limit import RateLimit

access_log = logging.getLogger("clipdex.access")

PUBLIC = ("/", "/healthz", "/readyz", "/v1/session", "/openapi.json", "/favicon.ico")
PUBLIC_BELOW = "/static/"
SAFE = ("GET", "HEAD", "OPTIONS")
MAX_HEADER_BYTES = 16 * 1024
KEY_PARAMETERS = frozenset({"api_key", "apikey", "key", "token", "access_token", "x-api-key"})
SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class _Refused(Exception):
    """Ends the reading of a body; the problem is in the exchange."""


class Guard:
    """The outermost middleware."""

    def __init__(
        self, app: ASGIApp, *, settings: Settings, access: Access, metrics: Metrics
    ) -> None:
        self.app = app
        self.settings = settings
        self.access = access
        self.metrics = metrics
        self.rate = RateLimit(settings.rate_limit)
        here = socket.gethostname().lower()
        names = {"localhost", here, f"{here}.local", settings.host.lower()}
        self.hosts = names.union(name.lower() for name in settings.allow_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(self, scope, receive, send)
        try:
            try:
                self._check(scope, Headers(scope=scope))
            except Problem as problem:
                await exchange.refuse(problem)
                return
            try:
                await self.app(scope, exchange.receive, exchange.send)
            except _Refused:
                if exchange.refused is not None:
                    await exchange.refuse(exchange.refused)
        finally:
            exchange.record()

    def _check(self, scope: Scope, headers: Headers) -> None:
        size = sum(len(name) + len(value) for name, value in scope["headers"])
        size += len(scope["raw_path"] or b"") + len(scope["query_string"])
        if size > MAX_HEADER_BYTES:
            raise Problem(431, f"the headers and URL take {size} bytes: {MAX_HEADER_BYTES} at most")
        self._check_host(headers)
        if scope["method"] not in SAFE:
            self._check_origin(scope, headers)
        self._check_key(scope, headers)
        client = scope["client"][0] if scope["client"] else "?"
        wait = self.rate.wait(client)
        if wait:
            raise Problem(
                429,
                "more requests than one client may make: slow down",
                headers={"Retry-After": str(max(1, round(wait)))},
            )
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self.settings.max_body:
            raise self.too_large

    @property
    def too_large(self) -> Problem:
        """Of a body."""
        limit = self.settings.max_body / 2**20
        return Problem(413, f"the request is above the limit of {limit:,.0f} MiB (--max-body)")

    def _check_host(self, headers: Headers) -> None:
        name = host_name(headers.get("host", ""))
        if name not in self.hosts and not _is_address(name):
            raise Problem(
                421, f"this server does not answer to the name {name[:80]!r} (--allow-host adds it)"
            )

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is None:
            # Browsers without Origin still say this; other programs say neither.
            if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
                raise Problem(403, "a page of another site may not do this")
            return
        own = f"{scope['scheme']}://{headers.get('host', '')}"
        # Behind a proxy that ends TLS the scheme differs, the name does not.
        if origin not in (own, f"https://{headers.get('host', '')}", *self.settings.cors_origins):
            raise Problem(
                403, f"a page of {origin[:80]!r} may not do this (--cors-origin allows it)"
            )

    def _check_key(self, scope: Scope, headers: Headers) -> None:
        state = scope.setdefault("state", {})
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        key = bearer.strip() if scheme.lower() == "bearer" else headers.get("x-api-key")
        state["local"] = bool(key) and self.access.is_local(key or "")
        if not self.access.required or state["local"] or is_public(scope["path"]):
            return
        if scope["method"] == "OPTIONS":
            return  # browsers ask without a key whether they may send one
        if key and self.access.knows_key(key):
            return
        if self.access.knows_session(session_of(headers)):
            return
        detail = "an API key is needed: Authorization: Bearer KEY, or X-API-Key: KEY"
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        if any(name.lower() in KEY_PARAMETERS for name, _ in query):
            detail = "keys are not taken from URLs, which end up in logs: send a header"
        raise Problem(401, detail, headers={"WWW-Authenticate": "Bearer"})


class _Exchange:
    """One request and its answer."""

    def __init__(self, guard: Guard, scope: Scope, receive: Receive, send: Send) -> None:
        self.guard = guard
        self.scope = scope
        self.refused: Problem | None = None
        self._receive = receive
        self._send = send
        self._received = 0
        self._complete = False
        self._started = time.perf_counter()
        self._deadline = time.monotonic() + guard.settings.body_seconds
        self._status = 0
        self._bytes = 0
        asked = Headers(scope=scope).get("x-request-id", "")
        good = re.fullmatch(r"[\w.-]{1,64}", asked)
        self.request_id = asked if good else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = self.request_id

    async def receive(self) -> Message:
        """The next part of the body, within what is allowed."""
        if self._complete:
            return await self._receive()
        try:
            remaining = max(0.0, self._deadline - time.monotonic())
            message = await asyncio.wait_for(self._receive(), remaining)
        except TimeoutError:
            seconds = self.guard.settings.body_seconds
            self.refused = Problem(408, f"the request did not arrive within {seconds:g} s")
            raise _Refused from None
        self._received += len(message.get("body", b""))
        if self._received > self.guard.settings.max_body:
            self.refused = self.guard.too_large
            raise _Refused
        self._complete = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """A part of the answer; a refusal takes the place of what a route made of it."""
        if self.refused is not None and not self._status:
            raise _Refused
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self.request_id
            for name, value in SECURITY.items():
                headers.setdefault(name, value)
            if "cache-control" not in headers:
                headers["Cache-Control"] = "no-store"
        else:
            self._bytes += len(message.get("body", b""))
        await self._send(message)

    async def refuse(self, problem: Problem) -> None:
        """Answer with a problem, and close the connection: its body was not read."""
        if self._status:
            return
        self.refused = None
        metadata = document(problem.status, problem.detail, self.request_id)
        body = json.dumps(metadata).encode()
        headers = {"Content-Type": MEDIA_TYPE, "Content-Length": str(len(body))}
        headers |= problem.headers
        if not self._complete and self.scope["method"] not in SAFE:
            headers["Connection"] = "close"
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        start = {"type": "http.response.start", "status": problem.status, "headers": raw}
        await self.send(start)
        await self.send({"type": "http.response.body", "body": body})

    def record(self) -> None:
        """Count and log it."""
        seconds = time.perf_counter() - self._started
        route = getattr(self.scope.get("route"), "path", "other")
        method = self.scope["method"] if self.scope["method"] in METHODS else "other"
        metrics = self.guard.metrics
        metrics.requests.labels(method, route, self._status).inc()
        metrics.seconds.labels("request").observe(seconds)
        if access_log.isEnabledFor(logging.INFO):
            metadata: dict[str, Any] = {
                "request_id": self.request_id,
                "client": self.scope["client"][0] if self.scope["client"] else None,
                "method": method,
                "path": self.scope["path"],
                "status": self._status,
                "bytes": self._bytes,
                "ms": round(seconds * 1000, 2),
            }
            access_log.info(json.dumps(metadata))


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def is_public(path: str) -> bool:
    """Whether it is served without a key."""
    return path in PUBLIC or path.startswith(PUBLIC_BELOW)


def host_name(host: str) -> str:
    """A Host header without its port."""
    if host.startswith("["):
        return host.partition("]")[0].removeprefix("[").lower()
    return host.partition(":")[0].lower().rstrip(".")


def session_of(headers: Headers) -> str:
    """The session's token in the Cookie header, or nothing."""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
