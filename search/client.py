"""A search that a running server of the same collection answers, which has everything loaded.

Imports nothing large: a command that asks a server pays for no model, no NumPy and no FAISS.
"""

import base64
import json
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .hits import Hit

PATH = "/internal/search"
CONNECT_SECONDS = 0.2
ANSWER_SECONDS = 10.0


def ask_server(collection: Path, question: dict[str, Any]) -> list[Hit] | None:
    """The hits, from the server that has announced itself in the collection's folder.

    None where there is none, or it cannot answer: the caller searches by itself then.
    question: see `question`.
    """
    try:
        metadata = json.loads((collection / "server.json").read_text())
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(metadata["host"], metadata["host"])
        answer = _post((host, int(metadata["port"])), str(metadata["secret"]), question)
        return [_hit(wire) for wire in json.loads(answer)] if answer is not None else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def question(
    text: str,
    *,
    without: Sequence[str] = (),
    folders: Sequence[str] = (),
    **options: Any,
) -> dict[str, Any]:
    """What to ask. Paths are made absolute here: the server has another working folder."""
    return {
        "text": text,
        "not": list(without),
        "in": [os.path.abspath(one) if os.path.exists(one) else one for one in folders],
        **options,
    }


def wire(hit: Hit) -> dict[str, Any]:
    """A hit as JSON that loses nothing."""
    return {
        **vars(hit),
        "raw_paths": [base64.b64encode(path).decode("ascii") for path in hit.raw_paths],
        "collapsed": None if hit.collapsed is None else [wire(one) for one in hit.collapsed],
    }


def _hit(metadata: dict[str, Any]) -> Hit:
    collapsed = metadata["collapsed"]
    return Hit(
        **{
            **metadata,
            "raw_paths": tuple(base64.b64decode(path) for path in metadata["raw_paths"]),
            "file_times": tuple(metadata["file_times"]),
            "collapsed": None if collapsed is None else tuple(_hit(one) for one in collapsed),
        }
    )


def _post(address: tuple[str, int], secret: str, question: dict[str, Any]) -> bytes | None:
    """The body of a 200, or None. By hand: `http.client` takes longer to import than to answer."""
    body = json.dumps(question).encode()
    head = (
        f"POST {PATH} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(address, CONNECT_SECONDS) as connection:
        connection.settimeout(ANSWER_SECONDS)
        connection.sendall(head.encode("ascii") + body)
        received = bytearray()
        while part := connection.recv(65536):
            received += part
    status, _, rest = bytes(received).partition(b"\r\n")
    if status.split()[1:2] != [b"200"]:
        return None
    return rest.partition(b"\r\n\r\n")[2]
