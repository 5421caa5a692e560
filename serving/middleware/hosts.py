"""The names that a server answers to.

A page elsewhere can make its own name lead to this machine (DNS rebinding). Plain addresses cannot
be rebound, so they are always answered to, which Starlette's TrustedHostMiddleware cannot express.
"""

import html
import ipaddress
import shlex
import socket
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.errors import Problem, problem_response


class HostMiddleware:
    """Refuses requests for other names than localhost, this machine's, and those allowed.

    Args:
        app: The application.
        own: The name or address that the server listens at.
        allowed: Further names.
    """

    def __init__(self, app: ASGIApp, *, own: str, allowed: Iterable[str]) -> None:
        self.app = app
        machine = socket.gethostname().lower()
        names = {"localhost", machine, f"{machine}.local", own.lower()}
        self._names = names.union(name.lower() for name in allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on one request, or refuse it."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            name = host_name(headers.get("host", ""))
            if name not in self._names and not _is_address(name):
                refusal: ASGIApp = _page(name[:80])
                if "text/html" not in headers.get("accept", ""):
                    detail = (
                        f"this server does not answer to the name {name[:80]!r} (--allow-host adds "
                        "it)"
                    )
                    refusal = problem_response(scope, Problem(421, detail))
                await refusal(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _page(name: str) -> HTMLResponse:
    """Return what a person reads whose browser asked for another name."""
    command = f"clipdex serve --allow-host {shlex.quote(name)}"
    return HTMLResponse(
        f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Another name: clipdex</title>
<h1>This server does not answer to {html.escape(name)}</h1>
<p>Any page in the Internet could make its own name lead here, so clipdex answers only to names that
it knows. If this one is yours, start the server with</p>
<pre>{html.escape(command)}</pre>
<p>or open it at its address, such as <code>http://127.0.0.1:8765</code>.</p>
</html>
""",
        421,
    )


def host_name(host: str) -> str:
    """Return a Host header without its port."""
    if host.startswith("["):
        return host.partition("]")[0].removeprefix("[").lower()
    return host.partition(":")[0].lower().rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
