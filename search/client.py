"""Search through a running server of the same collection, which has everything loaded.

Imports nothing large: a command that asks a server pays for no model, no NumPy and no FAISS. What
goes over the wire, requests and hits, is mapped to JSON and back here.
"""

import base64
import json
import os
import re
import socket
import time
from pathlib import Path
from typing import Any

from indexer.json_files import Fields, parse_json
from indexer.store.paths import is_absolute
from indexer.store.records import MAX_INTEGER
from search.filters.filter import Filter

from .hits import PLACES, Hit, Results
from .request import SearchRequest
from .socket_path import socket_path

# A question, and its answer, as a whole.
ANSWER_SECONDS = 10.0
MAX_REQUEST_BYTES = 2**20
# A code of ISO 639.
LANGUAGE = re.compile("[a-z]{2,3}")
MAX_ANSWER_BYTES = 64 * 2**20


class WireError(ValueError):
    """A message that is not what the other side writes."""


def ask_server(collection: Path, request: SearchRequest) -> Results | None:
    """Ask the server of a collection that this user has started.

    Args:
        collection: The collection's folder.
        request: A search without images, which the command reads itself.

    Returns:
        The results, or None when there is no server or it cannot answer: the caller then searches
        by itself.
    """
    path = None if request.images or request.unlike else socket_path(collection)
    if path is None or not path.exists():
        return None
    try:
        return results_from_wire(
            parse_json(_exchange(path, json.dumps(request_to_wire(request)).encode()))
        )
    except (OSError, ValueError):
        return None


def request_to_wire(request: SearchRequest) -> dict[str, Any]:
    """Return a request as JSON, for a server that has another working folder.

    Folders that exist become absolute paths; images are not sent.
    """
    return {
        "text": request.text,
        "without": list(request.without),
        "text_weight": request.text_weight,
        "image_weight": request.image_weight,
        "filter": _filter_to_wire(request.filter or Filter()),
        "labels": [list(label) for label in request.labels],
        "k": request.k,
        "offset": request.offset,
        "collapse": request.collapse,
        "min_relevance": request.min_relevance,
        "names": request.names,
    }


def _filter_to_wire(chosen: Filter) -> dict[str, Any]:
    return {
        "folders": [
            os.path.abspath(folder) if os.path.exists(folder) else os.fspath(folder)
            for folder in chosen.folders
        ],
        "since": chosen.since,
        "until": chosen.until,
        "before": chosen.before,
        "exclude": list(chosen.exclude),
        "tags": list(chosen.tags),
        "names": list(chosen.names),
        "below": list(chosen.below),
        "cameras": list(chosen.cameras),
        "on": chosen.on,
        "unless": list(map(_filter_to_wire, chosen.unless)),
    }


def _filter_from_wire(wire: dict[str, Any]) -> Filter:
    unless = list(map(_filter_from_wire, wire.get("unless", ())))
    return Filter(**{**wire, "unless": unless})


def request_from_wire(wire: Any) -> SearchRequest:
    """Return the request that `request_to_wire` has described.

    Raises:
        QueryError: A number or a date makes no sense.
        WireError: It is not such a description.
    """
    try:
        chosen = _filter_from_wire(wire["filter"]) if wire.get("filter") else None
        labels = [(str(label), float(probability)) for label, probability in wire["labels"]]
        return SearchRequest(**{**wire, "filter": chosen or None, "labels": labels})
    except (TypeError, ValueError, LookupError, AttributeError) as exc:
        raise WireError(f"not a request: {exc}") from exc


def results_to_wire(results: Results) -> dict[str, Any]:
    """Return results as JSON that loses nothing."""
    return {**vars(results), "hits": list(map(hit_to_wire, results.hits))}


def results_from_wire(wire: Any) -> Results:
    """Return the results that `results_to_wire` has described.

    Raises:
        WireError: It is not such a description.
    """
    try:
        results = Fields(wire, "an answer")
        made = Results(
            hits=list(map(hit_from_wire, results.items("hits"))),
            total=results.integer("total", 0, MAX_INTEGER),
            total_matches=results.integer("total_matches", 0, MAX_INTEGER, None),
            foreign_language=results.text("foreign_language", None, pattern=LANGUAGE),
            total_named=results.integer("total_named", 0, MAX_INTEGER, None),
        )
        results.nothing_else()
    except ValueError as exc:
        raise WireError(f"not an answer: {exc}") from exc
    return made


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
    try:
        hit = Fields(wire, "a hit")
        if hit.values.keys() != Hit.__dataclass_fields__.keys():
            raise WireError("a hit has other entries")
        paths, times = hit.texts("raw_paths"), hit.items("file_times")
        found_by = hit.texts("found_by")
        if not paths or not set(found_by) <= set(PLACES):
            raise WireError("a hit has no path, or was found by something else")
        return Hit(
            rank=hit.integer("rank", 0, MAX_INTEGER),
            id=hit.integer("id", 0, MAX_INTEGER),
            raw_paths=tuple(map(_path, paths)),
            score=hit.number("score"),
            relevance=hit.number("relevance", None),
            width=hit.integer("width", 0, MAX_INTEGER),
            height=hit.integer("height", 0, MAX_INTEGER),
            file_times=hit.integers("file_times", len(times), -MAX_INTEGER, MAX_INTEGER),
            capture_seconds=hit.integer("capture_seconds", -MAX_INTEGER, MAX_INTEGER, None),
            capture_offset=hit.integer("capture_offset", -MAX_INTEGER, MAX_INTEGER, None),
            collapsed=tuple(map(hit_from_wire, hit.items("collapsed")))
            if hit.has("collapsed")
            else None,
            digest=bytes.fromhex(hit.text("digest")),
            found_by=found_by,
        )
    except ValueError as exc:
        raise WireError(f"not a hit: {exc}") from exc


def _path(text: str) -> bytes:
    path = base64.b64decode(text, validate=True)
    if not is_absolute(path) or b"\0" in path:
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
