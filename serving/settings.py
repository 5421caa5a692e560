"""How a server is set up. `clipdex serve` has an option and a variable for each of these."""

from dataclasses import dataclass
from pathlib import Path

from indexer.images.decode import Limits


@dataclass(frozen=True)
class Settings:
    """A server's settings.

    collection: found as `indexer.collection.locate` does where it is None. host, port: where it
    listens; the host is also a name that it answers to. api_keys: any of them lets a client in; all
    are let in where there are none. insecure: a public address without a key is meant. allow_hosts:
    names that clients call it by, beside localhost, this machine's name and plain addresses.
    cors_origins: other sites whose pages may use it. allow_index: folders that index jobs may read.
    expose_paths: answer with absolute paths. originals: hand out files with their metadata.
    max_body: bytes of a request. max_pixels: of an image to decode. body_seconds: within which a
    request has to have come. queue: requests that wait for the encoder or for the index before
    others are turned away. rate_limit: requests a second of one client, 0 for any number.
    batching: encode texts of concurrent requests together. query_cache: texts whose vectors are
    kept, which pages of one search share. workers: threads that rank, and that decode images.
    """

    collection: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8765
    api_keys: tuple[str, ...] = ()
    insecure: bool = False
    allow_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    allow_index: tuple[Path, ...] = ()
    expose_paths: bool = False
    originals: bool = False
    max_body: int = 32 * 2**20
    max_pixels: int = Limits.max_pixels
    body_seconds: float = 30.0
    queue: int = 256
    rate_limit: float = 0.0
    batching: bool = True
    query_cache: int = 256
    workers: int = 2

    @property
    def limits(self) -> Limits:
        """Of images to decode."""
        return Limits(max_pixels=self.max_pixels)
