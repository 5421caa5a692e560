"""Requests that change something must not come from another site's page."""

from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.errors import Problem, problem_response

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class OriginMiddleware:
    """Refuses requests with an unsafe method from the pages of other sites.

    Args:
        app: The application.
        allowed: Other sites whose pages may use the server.
    """

    def __init__(self, app: ASGIApp, *, allowed: Iterable[str]) -> None:
        self.app = app
        self._allowed = frozenset(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on one request, or refuse it."""
        if scope["type"] == "http" and scope["method"] not in SAFE_METHODS:
            problem = self._problem(scope, Headers(scope=scope))
            if problem is not None:
                await problem_response(scope, problem)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _problem(self, scope: Scope, headers: Headers) -> Problem | None:
        origin = headers.get("origin")
        if origin is None:
            # Browsers that send no Origin still send this; other programs send neither.
            if headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none"):
                return None
            return Problem(403, "a page of another site may not do this")
        host = headers.get("host", "")
        # Behind a proxy that ends TLS the scheme differs, the name does not.
        if origin in (f"{scope['scheme']}://{host}", f"https://{host}") or origin in self._allowed:
            return None
        return Problem(403, f"a page of {origin[:80]!r} may not do this (--cors-origin allows it)")
