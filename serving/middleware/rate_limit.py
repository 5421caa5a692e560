"""Limits how many requests per second a client may make."""

import math

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.clients import client_of
from serving.errors import Problem, problem_response
from serving.token_buckets import TokenBuckets


class RateLimitMiddleware:
    """Refuses the requests of a client that makes too many.

    Args:
        app: The application.
        buckets: How many each client may make.
    """

    def __init__(self, app: ASGIApp, *, buckets: TokenBuckets) -> None:
        self.app = app
        self._buckets = buckets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on one request, or refuse it."""
        if scope["type"] == "http":
            wait = self._buckets.wait(client_of(scope))
            if wait:
                problem = Problem(
                    429,
                    "more requests than one client may make: slow down",
                    headers={"Retry-After": str(math.ceil(wait))},
                )
                await problem_response(scope, problem)(scope, receive, send)
                return
        await self.app(scope, receive, send)
