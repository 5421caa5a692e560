"""The files of the web page, compressed: browsers keep them, and ask each time whether they do."""

from typing import Any

from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp

from serving.routes.page import ASK_AGAIN, WEB


class _Kept(StaticFiles):
    """Static files with an ETag that is asked about."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        """Return a file, or that the client has it already."""
        response = super().file_response(*args, **options)
        response.headers.update(ASK_AGAIN)
        return response


def page_files() -> ASGIApp:
    """Return the application for / and /static/; nothing in it is secret, so it may be packed."""
    return GZipMiddleware(_Kept(directory=WEB, html=True))
