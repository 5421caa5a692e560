"""Errors as clients see them: RFC 9457 problem documents.

A problem's `type` is "about:blank" and its title the status' own phrase; `detail` is one line for a
person. `request_id` is the one of the access log.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from indexer.errors import (
    ClipdexError,
    CollectionError,
    CollectionLocked,
    CollectionNotFound,
    ImageError,
    ImageFormatUnknown,
    ImageTooLarge,
    QueryError,
    RootUnavailable,
)

MEDIA_TYPE = "application/problem+json"
# The first class that fits; what is not named here is a fault of the server's surroundings.
STATUS: tuple[tuple[type[ClipdexError], int], ...] = (
    (ImageFormatUnknown, 415),
    (ImageTooLarge, 413),
    (ImageError, 422),
    (QueryError, 422),
    (RootUnavailable, 404),
    (CollectionLocked, 409),
    (CollectionNotFound, 404),
    (CollectionError, 409),
    (ClipdexError, 409),
)


class Problem(Exception):
    """An answer that is no success. detail: one line, for a person."""

    def __init__(
        self, status: int, detail: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


class Busy(Problem):
    """More requests wait than the server has room for."""

    def __init__(self) -> None:
        super().__init__(
            503, "the server has more to do than it can: try again", headers={"Retry-After": "1"}
        )


def document(
    status: int, detail: str, request_id: str | None, more: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The problem's members."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "request_id": request_id,
        **(more or {}),
    }


def answer(
    status: int,
    detail: str,
    request: Request,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> JSONResponse:
    """The response."""
    request_id = request.scope.get("state", {}).get("request_id")
    content = document(status, detail, request_id, more)
    return JSONResponse(content, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Let `app` answer with problem documents only."""

    @app.exception_handler(Problem)
    async def problem(request: Request, exc: Problem) -> JSONResponse:
        return answer(exc.status, exc.detail, request, exc.headers)

    @app.exception_handler(ClipdexError)
    async def refused(request: Request, exc: ClipdexError) -> JSONResponse:
        status = next(status for kind, status in STATUS if isinstance(exc, kind))
        return answer(status, str(exc), request)

    @app.exception_handler(HTTPException)
    async def http(request: Request, exc: HTTPException) -> JSONResponse:
        return answer(exc.status_code, str(exc.detail), request, exc.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, exc: RequestValidationError) -> JSONResponse:
        errors = [
            {"field": ".".join(str(part) for part in error["loc"][1:]), "message": error["msg"]}
            for error in exc.errors()
        ]
        # What was sent is not repeated: it may be no text at all.
        for error in errors:
            error["field"] = _printable(error["field"])
            error["message"] = _printable(error["message"])
        first = errors[0]
        detail = f"{first['field'] or 'the request'}: {first['message']}"
        return answer(422, detail, request, more={"errors": errors})


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")[:200]
