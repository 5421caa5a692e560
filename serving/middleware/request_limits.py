"""How large a request may be, and how long it may take to arrive.

Bodies are counted while they arrive, since a client need not say how large one is.
"""

import asyncio
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import Problem, problem_response

MAX_HEADER_BYTES = 16 * 1024
MAX_DIGITS = 20


class _BodyRefused(Exception):
    """Ends the reading of a body, whatever the application makes of it."""


class RequestLimitsMiddleware:
    """Refuses requests that are too large or too slow.

    The connection of a request whose body was refused, here or further in, is closed.

    Args:
        app: The application.
        max_body: Maximum bytes of a body.
        body_seconds: Seconds within which a body has to arrive.
    """

    def __init__(self, app: ASGIApp, *, max_body: int, body_seconds: float) -> None:
        self.app = app
        self.max_body = max_body
        self.body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on one request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        body = _Body(self, receive, send, announced=_announces_body(headers))
        problem = self._problem(scope, headers)
        if problem is None:
            try:
                await self.app(scope, body.receive, body.send)
                return
            except _BodyRefused:
                problem, body.problem = body.problem, None
        if problem is not None and not body.started:
            await problem_response(scope, problem)(scope, body.receive, body.send)

    @property
    def too_large(self) -> Problem:
        """What answers a body that is too large."""
        limit = self.max_body / 2**20
        return Problem(413, f"the request is above the limit of {limit:,.0f} MiB (--max-body)")

    def _problem(self, scope: Scope, headers: Headers) -> Problem | None:
        size = sum(len(name) + len(value) for name, value in scope["headers"])
        size += len(scope["raw_path"] or b"") + len(scope["query_string"])
        if size > MAX_HEADER_BYTES:
            detail = f"the headers and URL take {size} bytes: {MAX_HEADER_BYTES} at most"
            return Problem(431, detail)
        length = headers.get("content-length", "0")
        # So long a number is above any limit, and Python would refuse to read it.
        sane = length.isascii() and length.isdigit() and len(length) < MAX_DIGITS
        if not sane or int(length) > self.max_body:
            return self.too_large
        return None


def _announces_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


class _Body:
    """The body of one request as it arrives, and the answer to it."""

    def __init__(
        self, limits: RequestLimitsMiddleware, receive: Receive, send: Send, *, announced: bool
    ) -> None:
        self.problem: Problem | None = None
        self.started = False
        self._limits = limits
        self._receive = receive
        self._send = send
        self._received = 0
        self._complete = not announced
        self._deadline = time.monotonic() + limits.body_seconds

    async def receive(self) -> Message:
        """Return the next part, within the limits."""
        if self._complete:
            return await self._receive()
        try:
            remaining = max(0.0, self._deadline - time.monotonic())
            message = await asyncio.wait_for(self._receive(), remaining)
        except TimeoutError:
            seconds = self._limits.body_seconds
            self.problem = Problem(408, f"the request did not arrive within {seconds:g} s")
            raise _BodyRefused from None
        self._received += len(message.get("body", b""))
        if self._received > self._limits.max_body:
            self.problem = self._limits.too_large
            raise _BodyRefused
        self._complete = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the answer, unless it only says that the body could not be read."""
        if self.problem is not None and not self.started:
            raise _BodyRefused
        if message["type"] == "http.response.start":
            self.started = True
            # What is left of a refused body is not read.
            if message["status"] >= 400 and not self._complete:
                MutableHeaders(scope=message)["Connection"] = "close"
        await self._send(message)
