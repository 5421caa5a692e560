"""The API's documentation, as Swagger UI shows the OpenAPI document.

The page and its script are ours, since FastAPI's own page needs inline scripts and a CDN, which the
content security policy forbids. Swagger UI itself comes with the package fastapi-offline.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from fastapi import APIRouter
from fastapi.responses import FileResponse

from .page import ASK_AGAIN, WEB

router = APIRouter(include_in_schema=False)

Asset = Literal["swagger-ui-bundle.js", "swagger-ui.css"]


@router.get("/docs")
async def docs() -> FileResponse:
    """Return the page."""
    return FileResponse(WEB / "docs.html", headers=ASK_AGAIN)


@router.get("/docs/{name}")
async def asset(name: Asset) -> FileResponse:
    """Return a file of Swagger UI."""
    package = find_spec("fastapi_offline")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("fastapi-offline is not installed, which clipdex depends on")
    file = Path(package.origin).parent / "static" / name
    return FileResponse(file, headers={"Cache-Control": "public, max-age=86400"})
