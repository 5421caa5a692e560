"""Search through a running server of the same collection, which has everything loaded.

Imports nothing large: a command that asks a server pays for no model, no NumPy and no FAISS. What
goes over the wire, requests and hits, is mapped to JSON and back here.
"""

import base64
import json
import math
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from search.filters.filter import Filter

from .hits import Hit
from .request import SearchRequest
from .socket_path import socket_path

# A question, and its answer, as a whole.
ANSWER_SECONDS = 10.0
MAX_REQUEST_BYTES = 2**20
MAX_ANSWER_BYTES = 64 * 2**20


class WireError(ValueError):
    """A message that is not what the other side writes."""


def ask_server(collection: Path, request: SearchRequest) -> list[Hit] | None:
    """Ask the server of a collection that this user has started.

    Args:
        collection: The collection's folder.
        request: A search without images, which the command reads itself.

    Returns:
        The hits, or None when there is no server or it cannot answer: the caller then searches
        by itself.
    """
    path = None if request.images else socket_path(collection)
    if path is None or not path.exists():
        return None
    try:
        answer = json.loads(_exchange(path, json.dumps(request_to_wire(request)).encode()))
        return None if answer is None else [hit_from_wire(wire) for wire in _list(answer)]
    except (OSError, ValueError, RecursionError):
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


def request_from_wire(wire: Any) -> SearchRequest:
    """Return the request that `request_to_wire` has described.

    Raises:
        QueryError: A number or a date makes no sense.
        WireError: It is not such a description.
    """
    try:
        chosen = Filter(**wire["filter"]) if wire.get("filter") else None
        labels = [(_text(label), _number(probability)) for label, probability in wire["labels"]]
        return SearchRequest(**{**wire, "filter": chosen or None, "labels": labels})
    except (TypeError, ValueError, LookupError, AttributeError) as exc:
        raise WireError(f"not a request: {exc}") from exc


def hit_to_wire(hit: Hit) -> dict[str, Any]:
    """Return a hit as JSON that loses nothing."""
    return {
        **vars(hit),
        "raw_paths": [base64.b64encode(path).decode("ascii") for path in hit.raw_paths],
        "digest": hit.digest.hex(),
        "collapsed": None if hit.collapsed is None else [hit_to_wire(one) for one in hit.collapsed],
    }


def hit_from_wire(wire: Any) -> Hit:
    """Return the hit that `hit_to_wire` has described.

    Raises:
        WireError: It is not such a description.
    """
    if not isinstance(wire, dict) or wire.keys() != Hit.__dataclass_fields__.keys():
        raise WireError("a hit has other fields")
    relevance, collapsed = wire["relevance"], wire["collapsed"]
    paths = tuple(_path(path) for path in _list(wire["raw_paths"]))
    if not paths:
        raise WireError("a hit has no path")
    return Hit(
        rank=_integer(wire["rank"]),
        id=_integer(wire["id"]),
        raw_paths=paths,
        score=_number(wire["score"]),
        relevance=None if relevance is None else _number(relevance),
        width=_integer(wire["width"]),
        height=_integer(wire["height"]),
        file_times=tuple(_integer(moment) for moment in _list(wire["file_times"])),
        capture_seconds=_integer_or_none(wire["capture_seconds"]),
        capture_offset=_integer_or_none(wire["capture_offset"]),
        collapsed=None if collapsed is None else tuple(map(hit_from_wire, _list(collapsed))),
        digest=_bytes(wire["digest"], bytes.fromhex),
    )


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise WireError("a list is missing")
    return value


def _integer(value: Any) -> int:
    if type(value) is not int or abs(value) >= 2**63:
        raise WireError("an integer is missing")
    return value


def _integer_or_none(value: Any) -> int | None:
    return None if value is None else _integer(value)


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise WireError("a number is missing")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise WireError("a text is missing")
    return value


def _bytes(value: Any, decode: Callable[[str], bytes]) -> bytes:
    try:
        return decode(_text(value))
    except ValueError as exc:
        raise WireError(f"bytes are missing: {exc}") from exc


def _path(value: Any) -> bytes:
    path = _bytes(value, base64.b64decode)
    if not os.path.isabs(path) or b"\0" in path:
        raise WireError("a path is not absolute")
    return path


def _exchange(path: Path, request: bytes) -> bytes:
    """Send a message, and return the answer.

    Raises:
        OSError: Nothing listens there, or the answer takes too long.
        WireError: One of them is too large.
    """
    if len(request) > MAX_REQUEST_BYTES:
        raise WireError("the request is too large")
    deadline = time.monotonic() + ANSWER_SECONDS
    received = bytearray()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_SECONDS)
        connection.connect(os.fspath(path))
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(65536):
            received += part
            if len(received) > MAX_ANSWER_BYTES:
                raise WireError("the answer is too large")
            # Each part has what is left of the time for all of them.
            connection.settimeout(max(deadline - time.monotonic(), 1e-3))
    return bytes(received)
