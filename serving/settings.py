"""How a server is set up. `clipdex serve` has an option and a variable for each of these."""

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path

from indexer.errors import ClipdexError
from indexer.images.decode import Limits

ROOT_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[\w.~-]+)*", re.ASCII)

# What headers carry; servers and clients take off spaces around it.
API_KEY = re.compile(r"[!-~]([ -~]*[!-~])?")


class InvalidKey(ClipdexError):
    """An API key that no client could send, that anybody could, or whose right is not clear."""


class InvalidProxy(ClipdexError):
    """A trusted proxy that is not an address."""


class InvalidRootPath(ClipdexError):
    """A path that a reverse proxy cannot show the server below."""


@dataclass(frozen=True)
class Settings:
    """A server's settings.

    Args:
        collection: Its folder; found as `indexer.store.collection.locate` does when None.
        host: Address or name to listen at; also a name that the server answers to.
        port: Port to listen at.
        api_keys: Any of them lets a client search, index, and change tags. Each is made of
            printable ASCII characters, as headers are. Without keys, all clients may do all of it.
        read_keys: Any of them lets a client search and look, and change nothing.
        insecure: Whether a public address without a key is intended.
        allow_hosts: Names that clients call the server by, beside localhost, this machine's name
            and plain addresses.
        trusted_proxies: Addresses and networks of reverse proxies, whose X-Forwarded-For and
            X-Forwarded-Proto say who the client is.
        root_path: The path below which a reverse proxy shows the server, such as "/photos".
        cors_origins: Other sites whose pages may use the server.
        allow_index: Folders that index jobs may read; kept with links followed.
        allow_remote: URLs below which originals may be fetched, as collections keep them.
        expose_paths: Whether answers contain absolute paths.
        originals: Whether files are handed out with their metadata.
        max_body: Maximum bytes of a request.
        max_pixels: Maximum pixels of an image to decode.
        body_seconds: Seconds within which a request has to arrive.
        queue: Requests that may wait for the encoder or for the index; others are turned away.
        rate_limit: Requests a second of one client; 0 for any number.
        batching: Whether texts of concurrent requests are encoded together.
        query_cache: Number of texts whose vectors are kept, which the pages of one search share.
        workers: Number of processes that answer.
        threads: Number of threads that rank, and of those that decode images, in each of them.
        commands: Whether `clipdex search` on this machine is answered.
        hints: Whether answers say what a user could do to find more, such as with another model.
    """

    collection: Path | str | None = None
    host: str = "127.0.0.1"
    port: int = 8765
    api_keys: tuple[str, ...] = ()
    read_keys: tuple[str, ...] = ()
    insecure: bool = False
    allow_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    root_path: str = ""
    cors_origins: tuple[str, ...] = ()
    allow_index: tuple[Path, ...] = ()
    allow_remote: tuple[bytes, ...] = ()
    expose_paths: bool = False
    originals: bool = False
    max_body: int = 32 * 2**20
    max_pixels: int = Limits.max_pixels
    body_seconds: float = 30.0
    queue: int = 256
    rate_limit: float = 0.0
    batching: bool = True
    query_cache: int = 256
    workers: int = 1
    threads: int = 2
    commands: bool = True
    hints: bool = True

    def __post_init__(self) -> None:
        for key in (*self.api_keys, *self.read_keys):
            if not API_KEY.fullmatch(key):
                raise InvalidKey(
                    "an API key is empty, or has characters that headers cannot carry: it is made "
                    "of ASCII letters, digits and punctuation, as `openssl rand -hex 32` prints it"
                )
        if not set(self.api_keys).isdisjoint(self.read_keys):
            raise InvalidKey(
                "a key is both among those that write and among those that only read: name it once"
            )
        for proxy in self.trusted_proxies:
            try:
                ipaddress.ip_network(proxy)
            except ValueError as exc:
                raise InvalidProxy(
                    f"{proxy!r} is not the address of a proxy, such as 127.0.0.1 or 172.16.0.0/12"
                ) from exc
        root_path = self.root_path.rstrip("/")
        if not ROOT_PATH.fullmatch(root_path):
            raise InvalidRootPath(
                f"{self.root_path!r} is not a path below which a proxy can show the server: it "
                "begins with a slash, such as /photos"
            )
        object.__setattr__(self, "root_path", root_path)
        allowed = tuple(Path(os.path.realpath(folder)) for folder in self.allow_index)
        object.__setattr__(self, "allow_index", allowed)

    @property
    def key_required(self) -> bool:
        """Whether clients need a key."""
        return bool(self.api_keys or self.read_keys)

    @property
    def limits(self) -> Limits:
        """Limits of images to decode."""
        return Limits(max_pixels=self.max_pixels)
