"""Who may use a route: clients with a key or a session, and with the right that the route needs.

Keys come in headers only: URLs end up in logs, histories and referrers. A route that changes
something needs a key that may write: each one whose method is not GET, unless its router says that
it only asks.
"""

import math
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Request, Response
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.params import Cookie, Header, Path
from fastapi.routing import APIRoute
from fastapi.security import APIKeyCookie, APIKeyHeader, HTTPBearer

from .clients import client_of
from .credentials import Credentials, Right, TooManyGuesses
from .errors import Problem
from .middleware.origin import SAFE_METHODS

COOKIE = "clipdex_session"
KEY_PARAMETERS = frozenset({"api_key", "apikey", "key", "token", "access_token", "x-api-key"})

bearer = HTTPBearer(scheme_name="bearer", auto_error=False)
header = APIKeyHeader(scheme_name="header", name="X-API-Key", auto_error=False)
cookie = APIKeyCookie(
    scheme_name="session",
    name=COOKIE,
    description="Set by POST /v1/session, for web pages.",
    auto_error=False,
)


async def key_of(request: Request) -> str:
    """Return the key that a request carries, or an empty string."""
    token = await bearer(request)
    return token.credentials.strip() if token else await header(request) or ""


async def require_right(request: Request, needed: Right) -> None:
    """Refuse a request without a key or a session that has a right, if the server has keys.

    Raises:
        Problem: 401, 403 if the key has too little right, or 429 after too many wrong keys.
    """
    right = await right_of(request, needed)
    if right >= needed:
        return
    if right:
        raise Problem(403, "this key lets you search and look, and not change anything")
    detail = "an API key is needed: Authorization: Bearer KEY, or X-API-Key: KEY"
    query = parse_qsl(request.scope["query_string"].decode("latin-1"))
    if any(name.lower() in KEY_PARAMETERS for name, _ in query):
        detail = "keys are not taken from URLs, which end up in logs: send a header"
    raise Problem(401, detail, headers={"WWW-Authenticate": "Bearer"})


async def right_of(request: Request, enough: Right = Right.WRITE) -> Right:
    """Return what a request's session and key let its client do, all of it without keys.

    Args:
        request: The request.
        enough: The key is not looked at where the session has this right.

    Raises:
        Problem: 429; the client has guessed too often.
    """
    if not request.app.state.service.settings.key_required:
        return Right.WRITE
    credentials: Credentials = request.app.state.service.credentials
    right = credentials.right_of_session(await cookie(request) or "")
    key = await key_of(request)
    return max(right, right_of_key(request, key)) if right < enough and key else right


def right_of_key(request: Request, key: str) -> Right:
    """Return what a key lets a client do.

    Raises:
        Problem: 429; the client has guessed too often.
    """
    credentials: Credentials = request.app.state.service.credentials
    try:
        return credentials.right_of_key(key, client_of(request.scope))
    except TooManyGuesses as exc:
        headers = {"Retry-After": str(math.ceil(exc.seconds))}
        raise Problem(429, str(exc), headers=headers) from exc


class StrictRoute(APIRoute):
    """A route that refuses query parameters which it does not know.

    A parameter that is spelled wrong would otherwise be left out of the question without a word.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler, behind the check."""
        handle = super().get_route_handler()
        # The fields of a model of query parameters are plain fields.
        elsewhere = (Path, Header, Cookie)
        declared = get_flat_params(self.dependant)
        known = {one.alias for one in declared if not isinstance(one.field_info, elsewhere)}

        async def handle_known(request: Request) -> Response:
            unknown = [name for name in request.query_params if name not in known]
            if unknown:
                raise RequestValidationError(
                    [
                        {"loc": ("query", name), "msg": "This parameter is not known here"}
                        for name in unknown
                    ]
                )
            return await handle(request)

        return handle_known


class ProtectedRoute(StrictRoute):
    """A route that checks the key before the body is read.

    FastAPI solves dependencies after it has read and parsed the body, and a client without a key
    must not be able to make the server do that.
    """

    @property
    def needed(self) -> Right:
        """The right that a client needs: to write, unless the method changes nothing."""
        return Right.READ if SAFE_METHODS.issuperset(self.methods or ()) else Right.WRITE

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler, behind the key."""
        handle = super().get_route_handler()

        async def handle_with_key(request: Request) -> Response:
            await require_right(request, self.needed)
            return await handle(request)

        return handle_with_key


class AskingRoute(ProtectedRoute):
    """A route that changes nothing, whatever its method: a question may be too long for a URL."""

    @property
    def needed(self) -> Right:
        """The right to read."""
        return Right.READ


def public_router(tag: str) -> APIRouter:
    """Return a router whose routes need no key; see `protected_router`."""
    return APIRouter(route_class=StrictRoute, tags=[tag])


def protected_router(tag: str, *, only_asks: bool = False) -> APIRouter:
    """Return a router whose routes need a key, and say so in the OpenAPI document.

    Args:
        tag: The resource that the routes serve.
        only_asks: Whether keys that only read may use POST here, too.
    """
    schemes = [Depends(bearer), Depends(header), Depends(cookie)]
    kind = AskingRoute if only_asks else ProtectedRoute
    return APIRouter(route_class=kind, dependencies=schemes, tags=[tag])
