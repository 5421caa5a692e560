"""Search through a running server of the same collection, which has everything loaded.

Imports nothing large: a command that asks a server pays for no model, no NumPy and no FAISS. What
goes over the wire, requests and hits, is mapped to JSON and back here.
"""

import base64
import json
import os
import socket
from pathlib import Path
from typing import Any

from indexer.json_files import Fields, read_json
from search.filters.filter import Filter

from .hits import Hit
from .request import SearchRequest

PATH = "/internal/search"
CONNECT_SECONDS = 0.2
ANSWER_SECONDS = 10.0
# Where to reach a server that listens everywhere.
_LOCAL = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def ask_server(collection: Path, request: SearchRequest) -> list[Hit] | None:
    """Ask the server that has announced itself in the collection's folder.

    Args:
        collection: The collection's folder.
        request: A search without images, which the command reads itself.

    Returns:
        The hits, or None when there is no server or it cannot answer: the caller then searches
        by itself.
    """
    if request.images:
        return None
    try:
        server = Fields(read_json(collection / "server.json"))
        host = server.text("host")
        address = _LOCAL.get(host, host), server.integer("port", 1, 65_535)
        body = json.dumps(request_to_wire(request)).encode()
        answer = _post(address, server.text("secret"), body)
        return [hit_from_wire(wire) for wire in json.loads(answer)] if answer is not None else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def request_to_wire(request: SearchRequest) -> dict[str, Any]:
    """Return a request as JSON, for a server that has another working folder.

    Folders that exist become absolute paths; images are not sent.
    """
    chosen = request.filter or Filter()
    return {
        "text": request.text,
        "without": list(request.without),
        "text_weight": request.text_weight,
        "image_weight": request.image_weight,
        "filter": {
            "folders": [
                os.path.abspath(folder) if os.path.exists(folder) else os.fspath(folder)
                for folder in chosen.folders
            ],
            "since": chosen.since,
            "until": chosen.until,
            "exclude": list(chosen.exclude),
        },
        "labels": [list(label) for label in request.labels],
        "k": request.k,
        "offset": request.offset,
        "collapse": request.collapse,
        "min_relevance": request.min_relevance,
    }


def request_from_wire(wire: dict[str, Any]) -> SearchRequest:
    """Return the request that `request_to_wire` has described.

    Raises:
        QueryError: A number or a date makes no sense.
        TypeError, ValueError: It is not such a description.
    """
    chosen = Filter(**wire["filter"]) if wire.get("filter") else None
    labels = [(str(label), float(probability)) for label, probability in wire.get("labels", ())]
    return SearchRequest(**{**wire, "filter": chosen or None, "labels": labels})


def hit_to_wire(hit: Hit) -> dict[str, Any]:
    """Return a hit as JSON that loses nothing."""
    return {
        **vars(hit),
        "raw_paths": [base64.b64encode(path).decode("ascii") for path in hit.raw_paths],
        "collapsed": None if hit.collapsed is None else [hit_to_wire(one) for one in hit.collapsed],
    }


def hit_from_wire(wire: dict[str, Any]) -> Hit:
    """Return the hit that `hit_to_wire` has described."""
    collapsed = wire["collapsed"]
    return Hit(
        **{
            **wire,
            "raw_paths": tuple(base64.b64decode(path) for path in wire["raw_paths"]),
            "file_times": tuple(wire["file_times"]),
            "collapsed": None
            if collapsed is None
            else tuple(hit_from_wire(one) for one in collapsed),
        }
    )


def _post(address: tuple[str, int], secret: str, body: bytes) -> bytes | None:
    """Return the body of a 200, or None.

    Written by hand because `http.client` takes longer to import than the server to answer.
    """
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
