"""The web page."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

WEB = Path(__file__).parents[1] / "web"
ASK_AGAIN = {"Cache-Control": "no-cache"}

router = APIRouter()


@router.get("/", include_in_schema=False)
async def page() -> FileResponse:
    """Return the page; its assets are under /static/."""
    return FileResponse(WEB / "index.html", headers=ASK_AGAIN)
