"""The web page."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

WEB = Path(__file__).parents[1] / "web"

router = APIRouter()


@router.get("/", include_in_schema=False)
async def page() -> FileResponse:
    """The page; what it needs besides lies under /static/."""
    return FileResponse(WEB / "index.html", headers={"Cache-Control": "no-cache"})
