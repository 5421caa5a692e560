"""The web page's service worker; the page itself is static (`serving.page_files`)."""

import hashlib
import json
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import Response

WEB = Path(__file__).parents[1] / "web"
ASK_AGAIN = {"Cache-Control": "no-cache"}

router = APIRouter()


@router.get("/service-worker.js", include_in_schema=False)
async def service_worker() -> Response:
    """Return the service worker: it works for what lies beside it, and so not under /static/."""
    return Response(_service_worker(), media_type="text/javascript", headers=ASK_AGAIN)


@cache
def _service_worker() -> str:
    """Return the worker's text, with the files that it keeps and a version that changes as they do.

    The documentation is no part of what works without the server.
    """
    shown = [file for file in sorted(WEB.iterdir()) if file.stem not in ("docs", "service-worker")]
    version = hashlib.sha256(b"".join(file.read_bytes() for file in shown)).hexdigest()[:16]
    assets = [f"static/{file.name}" for file in shown if file.name != "index.html"]
    head = f"const VERSION = {json.dumps(version)};\nconst FILES = {json.dumps(['./', *assets])};\n"
    return head + (WEB / "service-worker.js").read_text("utf-8")
