"""The names that a server answers to.

A page elsewhere can make its own name lead to this machine (DNS rebinding). Plain addresses cannot
be rebound, so they are always answered to, which Starlette's TrustedHostMiddleware cannot express.
"""

import ipaddress
import socket
from collections.abc import Iterable

from starlette.datastructures import Headers
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
            name = host_name(Headers(scope=scope).get("host", ""))
            if name not in self._names and not _is_address(name):
                detail = (
                    f"this server does not answer to the name {name[:80]!r} (--allow-host adds it)"
                )
                await problem_response(scope, Problem(421, detail))(scope, receive, send)
                return
        await self.app(scope, receive, send)


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
