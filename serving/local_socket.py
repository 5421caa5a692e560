"""The Unix socket at which a server answers the commands of its user.

`clipdex search` asks a running server of its collection, which has the model loaded, rather than
loading it itself. The folder of the socket lets in this user only, so that no secret is needed; see
`search.socket_path` for where it lies, and `search.client` for what is said.
"""

import asyncio
import json
import logging
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from indexer.errors import ClipdexError
from indexer.json_files import parse_json
from indexer.user_folders import make_runtime_folder
from search.client import (
    ANSWER_SECONDS,
    MAX_REQUEST_BYTES,
    request_from_wire,
    results_to_wire,
)
from search.socket_path import socket_path
from serving.services.search import SearchService

log = logging.getLogger("clipdex.access")


@asynccontextmanager
async def answering_commands(search: SearchService) -> AsyncIterator[None]:
    """Answer commands on this machine while the block runs; without a socket where none can be.

    Args:
        search: Answers the searches.
    """
    make_runtime_folder()
    path = socket_path(search.engines.collection.folder)
    listening = None
    # In place at once: the socket of a server that has died is there, and nothing answers at it.
    made = path and path.with_suffix(f".{os.getpid()}")
    try:
        if path and made:
            listening = await asyncio.start_unix_server(_Commands(search).answer, made)
            os.replace(made, path)
    except OSError as exc:  # such as a path that is too long for a socket
        logging.getLogger("clipdex").info("commands are not answered: %s", exc.strerror or exc)
    own = _identity(path)
    try:
        yield
    finally:
        if listening is not None and path is not None:
            listening.close()
            if _identity(path) == own:  # and not that of a later server
                with suppress(OSError):
                    path.unlink()


class _Commands:
    """Answers one question of a command at a time, each on a connection of its own."""

    def __init__(self, search: SearchService) -> None:
        self._search = search

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read a question until the command has ended it, and write the results, or null."""
        began = time.perf_counter()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                results = await self._results(await _read(reader))
                data = json.dumps(results).encode()
                writer.write(data)
                await writer.drain()
        except (OSError, TimeoutError):
            return  # the command has ended
        finally:
            writer.close()
        ms = round((time.perf_counter() - began) * 1000, 2)
        status = 200 if results is not None else 422
        log.info(json.dumps({"command": "search", "status": status, "bytes": len(data), "ms": ms}))

    async def _results(self, question: bytes) -> dict[str, object] | None:
        try:
            asked = request_from_wire(parse_json(question))
            search = self._search.newest if asked.lists else self._search.search
            return results_to_wire(await search(asked))
        except (ClipdexError, ValueError):
            return None  # the command searches by itself, and says what is wrong


async def _read(reader: asyncio.StreamReader) -> bytes:
    received = bytearray()
    while len(received) <= MAX_REQUEST_BYTES and (part := await reader.read(65536)):
        received += part
    return bytes(received) if len(received) <= MAX_REQUEST_BYTES else b""


def _identity(path: Path | None) -> tuple[int, int] | None:
    try:
        info = path.lstat() if path else None
    except OSError:
        return None
    return (info.st_dev, info.st_ino) if info else None
