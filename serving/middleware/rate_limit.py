"""Limits how many requests per second a client may make."""

import math

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.clients import client_of
from serving.errors import Problem, problem_response
from serving.token_buckets import TokenBuckets

# A client may save up this many seconds' worth of requests: a page of thumbnails comes at once.
BURST_SECONDS = 10.0


class RateLimitMiddleware:
    """Refuses the requests of a client that makes too many.

    Args:
        app: The application.
        rate: Requests a second of one client, above 0.
    """

    def __init__(self, app: ASGIApp, *, rate: float) -> None:
        self.app = app
        self._buckets = TokenBuckets(rate, burst=max(1.0, rate * BURST_SECONDS))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on one request, or refuse it."""
        if scope["type"] == "http":
            client = client_of(scope)
            wait = self._buckets.seconds_until(client)
            if wait:
                problem = Problem(
                    429,
                    "more requests than one client may make: slow down",
                    headers={"Retry-After": str(math.ceil(wait))},
                )
                await problem_response(scope, problem)(scope, receive, send)
                return
            self._buckets.take(client)
        await self.app(scope, receive, send)
