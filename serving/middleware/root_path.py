"""The path below which a reverse proxy shows the server.

Some proxies take it off before they pass a request on, others do not: both forms are answered.
"""

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class RootPathMiddleware:
    """Tells the application the path below which it is shown.

    Args:
        app: The application.
        root_path: That path without a slash at its end, not empty.
    """

    def __init__(self, app: ASGIApp, *, root_path: str) -> None:
        self.app = app
        self.root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["path"] == self.root_path:
            # The page's own links are relative, and need the slash.
            query = scope["query_string"].decode("latin-1")
            target = f"{self.root_path}/{'?' if query else ''}{query}"
            await RedirectResponse(target, 308)(scope, receive, send)
            return
        # ASGI's paths contain the root path.
        if not scope["path"].startswith(f"{self.root_path}/"):
            scope["path"] = self.root_path + scope["path"]
        scope["root_path"] = self.root_path
        await self.app(scope, receive, send)
