"""Announced lengths that are no numbers, or larger than Python reads."""

import asyncio
from typing import Any

import pytest

from serving.middleware.request_limits import RequestLimitsMiddleware


@pytest.mark.parametrize(
    ("length", "status"), [(b"9" * 5000, 413), ("²".encode("latin-1"), 413), (b"-1", 413),
                           (b"0", 200), (b"12", 200)]
)  # fmt: skip
def test_announced_lengths(length: bytes, status: int) -> None:
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [(b"content-length", length)],
    }
    limits = RequestLimitsMiddleware(app, max_body=100, body_seconds=1)
    asyncio.run(limits(scope, receive, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == status
