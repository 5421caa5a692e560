"""A folder of an object store or web server, by fsspec."""

import os
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, unquote

from indexer.errors import RootUnavailable
from indexer.store.records import SEPARATOR

from .source import Entry, State, state_of
from .trouble import ATTEMPTS, Trouble
from .url import PACKAGES, Url

# What file systems call the time of the last change, and what tells two versions apart.
TIMES = (
    "LastModified",
    "last_modified",
    "mtime",
    "updated",
    "modified",
    "Last-Modified",
    "created",
)
TAGS = ("ETag", "etag", "md5Hash", "content_md5", "Content-MD5", "checksum")
# Seconds.
CONNECT, READ = 10, 30
# Requests at once: far more than there are decoders, since each waits for the network.
REQUESTS = 32
WEB = ("http", "https")
CHUNK = 2**20
# Parts of a path that a collection cannot hold.
UNUSABLE = ("", ".", "..")


class Files:
    """One of fsspec's file systems, for threads, with what its host's trouble is.

    Args:
        url: Something in it.
    """

    def __init__(self, url: Url) -> None:
        self.trouble = Trouble()
        self._url = url
        self._own = threading.local()
        first = self._open()
        self._own.system = first
        # Those that wait in an event loop, and memory, are for all threads; others, such as an FTP
        # connection, for one.
        shared = getattr(first, "async_impl", False) or url.scheme in ("memory", "file")
        self._shared = first if shared else None

    @property
    def system(self) -> Any:
        """The file system that this thread may use."""
        if self._shared is not None:
            return self._shared
        if not hasattr(self._own, "system"):
            self._own.system = self._open()
        return self._own.system

    def _open(self) -> Any:
        scheme = self._url.scheme
        try:
            from fsspec.core import url_to_fs

            system, _ = url_to_fs(
                self._url.place,
                use_listings_cache=False,
                skip_instance_cache=True,
                **_options(scheme),
            )
        except ImportError as exc:
            needed = PACKAGES.get(scheme, "")
            also = "" if needed in ("s3fs", "aiohttp", "") else f" {needed}"
            raise RootUnavailable(
                f"{self._url.archive or scheme}:// needs more packages ({exc.name or needed} is "
                f"missing): pip install 'clipdex[remote]'{also}"
            ) from exc
        except (ValueError, TypeError) as exc:  # options of the user's own configuration
            raise RootUnavailable(f"{scheme}:// cannot be opened: {exc}") from exc
        if scheme == "s3":
            system.retries = 1  # `Trouble` tries again, and nobody else
        return system


class ObjectStore:
    """A root in an object store, on a web server or the like.

    Args:
        url: The root.
        files: The file system that it lies in.
    """

    def __init__(self, url: Url, files: Files) -> None:
        self._url = url
        self._files = files
        self._is_web = url.scheme in WEB

    def entry(self, below: bytes) -> Entry:
        """Return what is at a path."""
        path = self._path(below)
        found = self._through(lambda system: system.info(path))
        if self._is_web and self._is_listing(path):
            return Entry(os.path.basename(below))
        return _entry(os.path.basename(below), found)

    def _is_listing(self, path: str) -> bool:
        """Return whether a web page lists files, as only a folder does."""
        from indexer.images.formats import is_image_name

        if is_image_name(os.fsencode(path)):
            return False
        try:
            return bool(self._through(lambda system: system.ls(path + "/", detail=False)))
        except FileNotFoundError:
            return False

    def entries(self, below: bytes) -> list[Entry]:
        """Return what is in a folder."""
        path = self._path(below)
        if self._is_web:
            return self._entries_of_page(path)
        listed = self._through(lambda system: system.ls(path, detail=True))
        start = self._stripped(path).rstrip("/") + "/"
        found = []
        for info in listed:
            name = str(info["name"])
            name = name[len(start) :] if name.startswith(start) else os.path.basename(name)
            is_folder = info.get("type") == "directory"
            if not name and not is_folder:  # what stands for the folder itself
                continue
            found.append(_named(name.rstrip("/") if is_folder else name, info))
        return found

    def _stripped(self, path: str) -> str:
        """Return a path as the file system's listings begin."""
        return str(self._files.system._strip_protocol(path))

    def _entries_of_page(self, path: str) -> list[Entry]:
        start = path + "/"
        links = self._through(lambda system: system.ls(start, detail=False))
        names = {
            name
            for link in links
            if (name := _below(str(link), start)) and "?" not in name and "#" not in name
        }
        folders = sorted(name for name in names if name.endswith("/"))
        files = sorted(name for name in names if not name.endswith("/"))

        def ask(name: str) -> Entry:
            try:
                found = self._through(lambda system: system.info(start + name))
            except OSError as exc:
                return Entry(os.fsencode(name), reason=exc.strerror)
            return _entry(os.fsencode(name), found)

        with ThreadPoolExecutor(REQUESTS, thread_name_prefix="ask") as pool:
            asked = list(pool.map(ask, files))
        return asked + [Entry(os.fsencode(name.rstrip("/"))) for name in folders]

    def read(self, below: bytes, length: int, *, attempts: int = ATTEMPTS) -> bytes:
        """Return the first bytes of a file, at most `length` of them."""
        return self.read_range(below, 0, length, attempts=attempts)

    def read_range(self, below: bytes, start: int, end: int, *, attempts: int = ATTEMPTS) -> bytes:
        """Return bytes of a file, from one place to before another."""
        path = self._path(below)
        if end <= start:
            return b""

        def call(system: Any) -> bytes:
            if not self._is_web:
                return bytes(system.cat_file(path, start=start, end=end))
            # A server that does not know ranges sends the whole file, however large: so it comes as
            # a stream, and the rest is not read.
            headers = {"Range": f"bytes={start}-{end - 1}"} if start else {}
            return _stream(system, path, headers, start, end)

        return bytes(self._through(call, attempts))

    def open(self, below: bytes = b"") -> Any:
        """Return a file, opened to be read here and there, for one thread."""
        path = self._path(below)
        return self._through(lambda system: system.open(path, "rb", block_size=CHUNK))

    def _path(self, below: bytes) -> str:
        if not below:
            return self._url.place
        return f"{self._url.place}/{os.fsdecode(below.replace(SEPARATOR, b'/'))}"

    def _through(self, call: Callable[[Any], Any], attempts: int = ATTEMPTS) -> Any:
        return self._files.trouble.through(lambda: call(self._files.system), attempts)


def _options(scheme: str) -> dict[str, Any]:
    """Return what a file system is opened with: limits of time, and tries by `Trouble` alone."""
    if scheme == "s3":
        config = {
            "connect_timeout": CONNECT,
            "read_timeout": READ,
            "max_pool_connections": REQUESTS,
            "retries": {"mode": "standard", "total_max_attempts": 1},
        }
        return {"config_kwargs": config}
    if scheme in WEB:
        from aiohttp import ClientTimeout

        limits = ClientTimeout(total=None, sock_connect=CONNECT, sock_read=READ)
        return {"client_kwargs": {"timeout": limits}, "block_size": 0}
    return {}


def _stream(system: Any, path: str, headers: dict[str, str], start: int, end: int) -> bytes:
    from fsspec.asyn import sync

    async def fetch() -> bytes:
        session = await system.set_session()
        async with session.get(
            system.encode_url(path), headers={"Accept-Encoding": "identity", **headers}
        ) as answer:
            answer.raise_for_status()
            skip = start if answer.status == 200 else 0
            found = bytearray()
            async for part in answer.content.iter_chunked(CHUNK):
                found += part
                if skip:
                    skipped = min(skip, len(found))
                    del found[:skipped]
                    skip -= skipped
                if len(found) >= end - start:
                    break
            return bytes(found[: end - start])

    return bytes(sync(system.loop, fetch))


def _below(link: str, start: str) -> str:
    """Return what a link names directly in a folder of a web server; empty for others."""
    if not link.startswith(start):
        return ""
    name = link[len(start) :]
    inner = name.rstrip("/")
    return "" if "/" in inner or unquote(inner) in UNUSABLE else name


def _named(name: str, info: dict[str, Any]) -> Entry:
    raw = os.fsencode(name)
    if name in UNUSABLE or "/" in name or "\0" in name:
        reason = "its name is not one that a file can have: rename it"
        return Entry(os.fsencode(quote(name or "/", safe="")), State(-1, -1), reason)
    return _entry(raw, info)


def _entry(name: bytes, info: dict[str, Any]) -> Entry:
    if info.get("type") == "directory":
        return Entry(name)
    size = info.get("size")
    tag = next((str(info[key]) for key in TAGS if info.get(key)), "")
    state = state_of(-1 if size is None else int(size), _seconds(info), tag.encode())
    return Entry(name, state)


def _seconds(info: dict[str, Any]) -> float | None:
    """Return when a file last changed, in seconds since 1970 UTC."""
    for key in TIMES:
        value = info.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if isinstance(value, str):
            value = _parsed(value)
        if isinstance(value, datetime):
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return None


def _parsed(text: str) -> datetime | None:
    try:
        if re.match(r"\d{4}-", text):
            return datetime.fromisoformat(text)
        return parsedate_to_datetime(text)
    except ValueError:
        return None
