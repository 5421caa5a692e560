"""Routes of the page's sessions: a key is exchanged for a cookie that scripts cannot read."""

import asyncio

from fastapi import APIRouter, Request, Response

from serving.errors import Problem
from serving.middleware.credentials import COOKIE, SESSION_SECONDS
from serving.middleware.stack import session_of
from serving.schemas import requests, responses
from serving.service import ServiceDep

router = APIRouter()

# Who guesses keys shall take long.
WRONG_KEY_SECONDS = 0.5


@router.get("/v1/session", summary="Is a key needed, and was one given?")
async def session(service: ServiceDep, request: Request) -> responses.SessionAnswer:
    access = service.access
    inside = not access.required or access.knows_session(session_of(request.headers))
    return responses.SessionAnswer(required=access.required, signed_in=inside)


@router.post("/v1/session", summary="Exchange a key for a cookie", status_code=204)
async def sign_in(service: ServiceDep, body: requests.KeyBody, request: Request) -> Response:
    if service.access.required and not service.access.knows_key(body.key):
        await asyncio.sleep(WRONG_KEY_SECONDS)
        raise Problem(401, "this is not a key of this server")
    response = Response(status_code=204)
    response.set_cookie(
        COOKIE,
        service.access.sign_in(),
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


@router.delete("/v1/session", summary="Sign out", status_code=204)
async def sign_out(service: ServiceDep, request: Request) -> Response:
    service.access.sign_out(session_of(request.headers))
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response
