"""Limits how many requests per second a client may make, with a token bucket for each."""

import time
from collections import OrderedDict

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.errors import Problem, problem_response

# A client may save up this many seconds' worth of requests: a page of thumbnails comes at once.
BURST_SECONDS = 10.0
MAX_CLIENTS = 10_000


class TokenBuckets:
    """A token bucket for each client.

    Args:
        rate: Requests a second; 0 for any number.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._capacity = max(1.0, rate * BURST_SECONDS)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str) -> float:
        """Count a request of a client.

        Returns:
            Seconds that the client has to wait; 0 for a request that may go on.
        """
        if self._rate <= 0:
            return 0.0
        now = time.monotonic()
        tokens, then = self._buckets.pop(client, (self._capacity, now))
        tokens = min(self._capacity, tokens + (now - then) * self._rate)
        allowed = tokens >= 1
        self._buckets[client] = (tokens - 1 if allowed else tokens, now)
        while len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - tokens) / self._rate


class RateLimitMiddleware:
    """Refuses the requests of a client that makes too many.

    Args:
        app: The application.
        rate: Requests a second of one client; 0 for any number.
    """

    def __init__(self, app: ASGIApp, *, rate: float) -> None:
        self.app = app
        self._buckets = TokenBuckets(rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on one request, or refuse it."""
        if scope["type"] == "http":
            wait = self._buckets.wait(scope["client"][0] if scope["client"] else "?")
            if wait:
                problem = Problem(
                    429,
                    "more requests than one client may make: slow down",
                    headers={"Retry-After": str(max(1, round(wait)))},
                )
                await problem_response(scope, problem)(scope, receive, send)
                return
        await self.app(scope, receive, send)
