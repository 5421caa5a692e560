"""`clipdex mcp`, asked by the official client over standard input and output."""

import base64
import json
from collections.abc import Awaitable, Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import anyio
import pytest
from PIL import Image

mcp = pytest.importorskip("mcp")

from mcp.client.stdio import stdio_client  # noqa: E402

from search import Engine  # noqa: E402
from support.command import COMMAND, Run  # noqa: E402

Session = Any


def ask(collection: Path, work: Callable[[Session], Awaitable[None]]) -> None:
    """Let `work` talk to a server of a collection."""

    async def run() -> None:
        arguments = ["mcp", "--collection", str(collection)]
        started = mcp.StdioServerParameters(command=str(COMMAND), args=arguments)
        with anyio.fail_after(120):
            async with (
                stdio_client(started) as (read, write),
                mcp.ClientSession(read, write) as session,
            ):
                await session.initialize()
                await work(session)

    anyio.run(run)


def parts(result: Any) -> tuple[Any, list[Image.Image]]:
    """The JSON of an answer, and its pictures."""
    assert not result.is_error, result
    texts = [json.loads(one.text) for one in result.content if one.type == "text"]
    pictures = [
        Image.open(BytesIO(base64.b64decode(one.data)))
        for one in result.content
        if one.type == "image"
    ]
    return texts[0] if len(texts) == 1 else texts, pictures


def test_an_assistant_searches(photos_indexed: tuple[Path, Path]) -> None:
    photos, collection = photos_indexed
    with Engine.open(collection) as engine:
        expected = engine.search("a cat", without=["coffee"], k=3)

    async def work(session: Session) -> None:
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        assert set(tools) == {"search", "similar", "label", "status"}
        assert all(tool.annotations.read_only_hint for tool in tools.values())
        asked = {"text": "a cat", "without": ["coffee"], "k": 3}
        found, pictures = parts(await session.call_tool("search", asked))
        assert [hit["path"] for hit in found["hits"]] == [hit.path for hit in expected]
        assert [hit["relevance"] for hit in found["hits"]] == [hit.relevance for hit in expected]
        assert found["images"] == 6
        for picture, hit in zip(pictures, expected, strict=True):
            assert max(picture.size) == min(320, max(hit.width, hit.height))
        plain = {"text": "", "until": "2010", "pictures": False}
        old, none = parts(await session.call_tool("search", plain))
        assert [Path(hit["path"]).name for hit in old["hits"]] == ["chelsea.png"]
        assert none == []
        like = {"image": str(photos / "chelsea.png"), "k": 2, "pictures": False}
        similar, _ = parts(await session.call_tool("similar", like))
        assert len(similar["hits"]) == 2
        assert "chelsea.png" not in str(similar)
        named = {"images": [str(photos / "coffee.png")], "labels": ["a cat", "a cup of coffee"]}
        labelled, _ = parts(await session.call_tool("label", named))
        assert labelled["labels"][0]["label"] == "a cup of coffee"
        held, _ = parts(await session.call_tool("status", {}))
        assert (held["images"], held["folders"], held["model"]) == (6, [str(photos)], "pocket")

    ask(collection, work)


def test_mistakes_are_answered_in_one_line(photos_indexed: tuple[Path, Path]) -> None:
    async def work(session: Session) -> None:
        for tool, asked, why in (
            ("search", {"text": "a cat", "since": "someday"}, "someday"),
            ("search", {"text": "a cat", "k": 0}, "greater than or equal to 1"),
            ("search", {"text": " "}, "nothing to search for"),
            ("similar", {"image": "/none/cat.jpg"}, "/none/cat.jpg"),
        ):
            result = await session.call_tool(tool, asked)
            assert result.is_error
            assert why in result.content[0].text
        found, _ = parts(await session.call_tool("search", {"text": "a cat", "k": 1}))
        assert found["hits"]

    ask(photos_indexed[1], work)


def test_a_collection_that_is_damaged_is_said(clipdex: Run, tmp_path: Path) -> None:
    (tmp_path / "collection").mkdir()
    (tmp_path / "collection" / "catalogue.sqlite3").write_bytes(b"not a catalog" * 1000)
    done = clipdex("mcp", code=1)
    assert len(done.stderr.splitlines()) == 1
    assert b"is damaged or not clipdex's" in done.stderr
