"""A running `clipdex serve`, and what is wrong with how it answers and ends."""

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from .command import COMMAND

START_SECONDS = 120
ANSWER_SECONDS = 60


@dataclass
class Server:
    """A server that is up.

    Attributes:
        client: Asks it; as one may do who cannot wait for ever.
        faults: What was wrong, added to as it is found.
    """

    client: httpx.Client
    faults: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str, **options: object) -> httpx.Response | None:
        """Return an answer; None if there was none, which is a fault as an error (5xx) is.

        503 and 507 say that there is no room, and are none.
        """
        try:
            answer = self.client.request(method, path, **options)  # type: ignore[arg-type]
        except httpx.HTTPError as exc:
            self.faults.append(f"{method} {path}: {type(exc).__name__}")
            return None
        if answer.status_code >= 500 and answer.status_code not in (503, 507):
            self.faults.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        return answer


@contextmanager
def served(
    collection: Path, *options: object, prefix: Sequence[str] = (), **environment: str
) -> Iterator[Server]:
    """A server, behind `prefix`; what is wrong as it begins and ends is among its faults."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        command = [*prefix, str(COMMAND), "serve", "--port", "0", "--collection", str(collection)]
        with open(log, "wb") as written:
            process = subprocess.Popen(
                [*command, *map(str, options)],
                stdout=subprocess.DEVNULL,
                stderr=written,
                env={**os.environ, "CLIPDEX_ACCESS_LOG": "0", **environment},
            )
        end = time.monotonic() + START_SECONDS
        found = None
        while found is None and process.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
            found = re.search(rb"(http://127.0.0.1:\d+)", log.read_bytes())
        url = found[1].decode() if found else "http://127.0.0.1:9"
        with httpx.Client(base_url=url, timeout=ANSWER_SECONDS) as client:
            server = Server(client)
            if found is None:
                server.faults.append(f"it did not start: {log.read_bytes()[-300:]!r}")
            try:
                yield server
            finally:
                if process.poll() is not None and found is not None:
                    server.faults.append(f"it ended by itself: {log.read_bytes()[-300:]!r}")
                process.terminate()
                try:
                    code = process.wait(timeout=60)
                except subprocess.TimeoutExpired:
                    process.kill()
                    code = process.wait()
                if found is not None and code != 143:
                    server.faults.append(f"it ended with {code}")
                said = log.read_bytes()
                if b"Traceback" in said or b"a fault of clipdex" in said:
                    server.faults.append(f"its log: {said[-1500:].decode(errors='replace')}")
