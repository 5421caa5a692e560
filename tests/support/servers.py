"""A real `clipdex serve` for tests, and raw connections to it."""

import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from support.command import COMMAND

START_SECONDS = 180


@dataclass
class Served:
    """A server that is up."""

    url: str
    collection: Path
    process: subprocess.Popen[str]
    log: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=120, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=120, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return httpx.post(self.url + path, timeout=120, **options)

    def raw(self, data: bytes, *, seconds: float = 20) -> bytes:
        """What the server answers to these bytes, until it closes or falls silent."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            connection.settimeout(seconds)
            received = b""
            try:
                connection.sendall(data)
                while part := connection.recv(65536):
                    received += part
            except (TimeoutError, ConnectionResetError, BrokenPipeError):
                pass
            return received


@contextmanager
def serving(
    collection: Path, *options: object, prefix: Sequence[str] = (), **environment: str
) -> Iterator[Served]:
    """The installed command, behind `prefix`, on a port that is free, until the block ends."""
    process = subprocess.Popen(
        [*prefix, COMMAND, "serve", "--port", "0", "--collection", collection, *map(str, options)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    served = Served("", collection, process)
    assert process.stderr is not None
    lines = process.stderr
    up = threading.Event()

    def read() -> None:
        for line in lines:
            served.log.append(line)
            found = re.search(r"clipdex is at (http://\S+)", line)
            if found:
                served.url = found[1]
                up.set()
        up.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert up.wait(START_SECONDS), served.log
        assert served.url, served.log
        # It listens from then on; the first answer comes when the model is loaded.
        assert httpx.get(f"{served.url}/healthz", timeout=START_SECONDS).status_code == 200
        yield served
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(timeout=5)
        lines.close()
