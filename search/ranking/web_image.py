"""Fetches an image that a query names by its URL; needs no package beside Python's own library.

A collection's folders on web servers are another matter: `indexer.sources` lists and reads them.
"""

import time
from http.client import HTTPException, HTTPMessage, responses
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, quote, urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from indexer.errors import ImageUnreadable
from indexer.images.decode import Limits, check_size

SCHEMES = ("http", "https")
# Within which a server has to answer, and send each next part; and the whole image.
STEP_SECONDS = 10.0
WHOLE_SECONDS = 120.0
PART_BYTES = 65536


def fetch_image(url: str, limits: Limits) -> bytes:
    """Return what a web server has at a URL.

    Args:
        url: An http:// or https:// URL.
        limits: Their `max_bytes` applies.

    Raises:
        ImageTooLarge: It is above the limit.
        ImageUnreadable: It cannot be fetched; the text is the reason.
    """
    try:
        with _opener().open(_request(url), timeout=STEP_SECONDS) as answer:
            check_size(answer.length or 0, limits)
            received = bytearray()
            deadline = time.monotonic() + WHOLE_SECONDS
            while part := answer.read1(PART_BYTES):
                received += part
                check_size(len(received), limits)
                if time.monotonic() > deadline:
                    raise TimeoutError(f"it has not arrived within {WHOLE_SECONDS:.0f} s")
            if answer.length:
                raise ImageUnreadable("cannot be fetched: the connection broke off")
            return bytes(received)
    except (OSError, HTTPException, ValueError) as exc:
        raise ImageUnreadable(f"cannot be fetched: {_reason(exc)}") from exc


def shown(url: str) -> str:
    """Return a URL as messages name it: without a password and a query, which may be secret."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        return SplitResult(parts.scheme, host, parts.path, "", "").geturl()
    except ValueError:
        return "the URL"


class _Redirects(HTTPRedirectHandler):
    """Follows redirects to other web servers, and to nothing else."""

    def redirect_request(
        self,
        req: Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> Request | None:
        """Return the next request, or None, which makes an error of the answer."""
        if urlsplit(newurl).scheme not in SCHEMES:
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> OpenerDirector:
    # urllib's own opener would read file:// and ftp://, too.
    opener = OpenerDirector()
    for handler in (
        ProxyHandler(),
        HTTPHandler(),
        HTTPSHandler(),
        HTTPDefaultErrorHandler(),
        _Redirects(),
        HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _request(url: str) -> Request:
    """Return the request for a URL, whose letters beyond ASCII are encoded.

    Raises:
        ValueError: It is no URL of a web server, or has a password.
    """
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise ValueError("the URL names no web server")
    if "@" in parts.netloc:
        raise ValueError("a URL with a password is not read")
    host = parts.netloc.encode("idna").decode("ascii")
    path = quote(parts.path, safe="/%:@+,;=~!$&'()*")
    query = quote(parts.query, safe="/%:@+,;=~!$&'()*?")
    address = SplitResult(parts.scheme, host, path, query, "").geturl()
    return Request(address, headers={"User-Agent": "clipdex", "Accept": "image/*, */*;q=0.5"})


def _reason(exc: Exception) -> str:
    if isinstance(exc, HTTPError):
        exc.close()
        if 300 <= exc.code < 400:
            return "the server sends elsewhere, but to no web server that has it"
        return f"the server answers {exc.code} {responses.get(exc.code, '')}".rstrip()
    cause = exc.reason if isinstance(exc, URLError) else exc
    if isinstance(cause, TimeoutError):
        # Python's own timeouts, of which there are several, say only that they are some.
        return str(cause) if "arrived" in str(cause) else f"no answer within {STEP_SECONDS:.0f} s"
    if isinstance(cause, OSError):
        return cause.strerror or str(cause) or type(cause).__name__
    if isinstance(cause, HTTPException):
        return "the server does not answer by HTTP, or breaks off"
    return str(cause)
