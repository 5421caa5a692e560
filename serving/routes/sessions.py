"""The page's sessions: a key is exchanged for a cookie that scripts cannot read."""

from typing import Annotated

from fastapi import Cookie, Request, Response

from serving.authentication import COOKIE, public_router, right_of_key
from serving.credentials import SESSION_SECONDS, Right
from serving.errors import Problem
from serving.schemas import requests, responses
from serving.service import Service, ServiceDep

# No key is needed here, since this is where one is given.
router = public_router("sessions")

SessionToken = Annotated[str | None, Cookie(alias=COOKIE, include_in_schema=False)]


@router.get("/v1/session", summary="Is a key needed, was one given, and what may it do?")
async def session(service: ServiceDep, token: SessionToken = None) -> responses.SessionAnswer:
    """Return whether the client is signed in, and whether it may change anything."""
    required = service.settings.key_required
    right = service.credentials.right_of_session(token or "") if required else Right.WRITE
    return responses.SessionAnswer(
        required=required, signed_in=right > Right.NONE, may_write=right >= Right.WRITE
    )


@router.post("/v1/session", summary="Exchange a key for a cookie", status_code=204)
async def sign_in(service: ServiceDep, body: requests.KeyBody, request: Request) -> Response:
    """Begin a session."""
    right = right_of_key(request, body.key) if service.settings.key_required else Right.WRITE
    if not right:
        raise Problem(401, "this is not a key of this server")
    response = Response(status_code=204)
    response.set_cookie(
        COOKIE,
        service.credentials.sign_in(right),
        max_age=SESSION_SECONDS,
        path=_cookie_path(service),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


@router.delete("/v1/session", summary="Sign out", status_code=204)
async def sign_out(service: ServiceDep, token: SessionToken = None) -> Response:
    """End a session."""
    service.credentials.sign_out(token or "")
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path=_cookie_path(service), httponly=True, samesite="strict")
    return response


def _cookie_path(service: Service) -> str:
    """Return the path that the cookie is for: other programs may be shown beside this one."""
    return service.settings.root_path or "/"
