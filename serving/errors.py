"""Errors as clients see them: RFC 9457 problem documents.

A problem's `type` is "about:blank" and its title the status' own phrase; `detail` is one line for a
person. `request_id` is the one of the access log.
"""

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Scope

from indexer.errors import (
    ClipdexError,
    CollectionError,
    CollectionLocked,
    CollectionNotFound,
    ExclusionError,
    ImageError,
    ImageFormatUnknown,
    ImageNotFound,
    ImageTooLarge,
    QueryError,
    RootUnavailable,
)
from serving.schemas.responses import ProblemDocument
from serving.services.errors import Busy, JobRunning, NotAllowed, NotFound

MEDIA_TYPE = "application/problem+json"
# The first class that fits decides.
STATUS: tuple[tuple[type[ClipdexError], int], ...] = (
    (ImageFormatUnknown, 415),
    (ImageTooLarge, 413),
    (ImageError, 422),
    (ImageNotFound, 404),
    (QueryError, 422),
    (ExclusionError, 422),
    (RootUnavailable, 404),
    (CollectionLocked, 409),
    (CollectionNotFound, 404),
    (CollectionError, 409),
    (Busy, 503),
    (NotFound, 404),
    (NotAllowed, 403),
    (ClipdexError, 409),
)


class Problem(Exception):
    """An answer that is not a success, raised by routes and middleware.

    Args:
        status: The HTTP status.
        detail: One line for a person.
        headers: Further headers of the answer.
    """

    def __init__(
        self, status: int, detail: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def problem_response(
    scope: Scope, problem: Problem, *, errors: list[dict[str, str]] | None = None
) -> JSONResponse:
    """Return the problem document that answers a request.

    Args:
        scope: The request's ASGI scope.
        problem: What the answer says.
        errors: The fields that are wrong, each with a message.
    """
    content = ProblemDocument(
        title=HTTPStatus(problem.status).phrase,
        status=problem.status,
        detail=problem.detail,
        request_id=scope.get("state", {}).get("request_id"),
        errors=errors,
    )
    return JSONResponse(
        content.model_dump(exclude={"errors"} if errors is None else None),
        problem.status,
        headers=problem.headers,
        media_type=MEDIA_TYPE,
    )


def problem_of(error: ClipdexError, root_path: str = "") -> Problem:
    """Return the problem that an error of the engine or of a service is to a client.

    Args:
        error: The error.
        root_path: The path below which the client sees the server.
    """
    status = next(status for kind, status in STATUS if isinstance(error, kind))
    headers = {}
    if isinstance(error, Busy):
        headers["Retry-After"] = "1"
    if isinstance(error, JobRunning):
        headers["Location"] = f"{root_path}/v1/jobs/{error.job}"
    return Problem(status, str(error), headers=headers)


def install(app: FastAPI) -> None:
    """Let an application answer every error with a problem document."""

    @app.exception_handler(Problem)
    async def problem(request: Request, exc: Problem) -> JSONResponse:
        return problem_response(request.scope, exc)

    @app.exception_handler(ClipdexError)
    async def refused(request: Request, exc: ClipdexError) -> JSONResponse:
        problem = problem_of(exc, request.scope.get("root_path", ""))
        # Errors name folders of this machine.
        problem.detail = request.app.state.service.folders.text(problem.detail)
        return problem_response(request.scope, problem)

    @app.exception_handler(HTTPException)
    async def http(request: Request, exc: HTTPException) -> JSONResponse:
        detail = Problem(exc.status_code, str(exc.detail), headers=exc.headers)
        return problem_response(request.scope, detail)

    @app.exception_handler(Exception)
    async def failed(request: Request, exc: Exception) -> JSONResponse:
        return problem_response(request.scope, Problem(500, "the server failed: see its log"))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, exc: RequestValidationError) -> JSONResponse:
        # What was sent is not repeated, and may not be text at all.
        errors = [
            {
                "field": _printable(".".join(str(part) for part in error["loc"][1:])),
                "message": _printable(error["msg"]),
            }
            for error in exc.errors()
        ]
        first = errors[0]
        detail = f"{first['field'] or 'the request'}: {first['message']}"
        return problem_response(request.scope, Problem(422, detail), errors=errors)


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")[:200]
