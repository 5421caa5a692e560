"""HEAD wherever GET is: the same status and headers, without the body."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class _HeadersSent(Exception):
    """Ends the making of a body that nobody reads, such as a stream of events."""


class HeadMiddleware:
    """Answers HEAD with what GET would answer, up to its body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":

            async def send_allowed(message: Message) -> None:
                if message["type"] == "http.response.start" and message["status"] == 405:
                    headers = MutableHeaders(scope=message)
                    allowed = [one.strip() for one in headers.get("allow", "").split(",")]
                    if "GET" in allowed and "HEAD" not in allowed:
                        headers["Allow"] = ", ".join([*allowed, "HEAD"])
                await send(message)

            await self.app(scope, receive, send_allowed)
            return

        async def send_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                return
            await send({"type": "http.response.body", "body": b""})
            raise _HeadersSent

        # The scope is the log's, too, which is to say HEAD.
        asked = {**scope, "method": "GET"}
        try:
            await self.app(asked, receive, send_headers)
        except _HeadersSent:
            pass
        finally:
            scope["route"] = asked.get("route")
