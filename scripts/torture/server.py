"""Serve good and hostile clients for a time, and watch what the server takes.

usage: python -m scripts.torture.server [--minutes 10] [--seed 18]

Searches, thumbnails and uploads go on beside broken requests, slow connections, wrong keys, mutated
uploads and links that are swapped, and `index` runs beside them. A server error (5xx but for 503),
a traceback, a server that ends, and, after the first ten minutes, memory above 1.1 times what it
was then, and files or threads that grow are faults: exit code 1.
"""

import argparse
import os
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
from PIL import Image

from .command import COMMAND
from .photos import make_image
from .report import say

KEY = "torture"
RIGHT = {"Authorization": f"Bearer {KEY}"}
IMAGES = 200
SAMPLE_SECONDS = 5
SETTLED_SAMPLES = 10 * 60 // SAMPLE_SECONDS
# From other addresses of this machine, as other clients: good ones must not pay for these.
HOSTILE = [f"127.0.{n}.1" for n in range(1, 9)]


class Attack:
    """One server, and what its clients count.

    Args:
        port: Its port.
        photos: The folder of its images.
        uploads: Image files, which are sent as they are and mutated.
    """

    def __init__(self, port: int, photos: Path, uploads: list[bytes]) -> None:
        self.port = port
        self.photos = photos
        self.uploads = uploads
        self.outcomes: Counter[str] = Counter()
        self.ended = threading.Event()

    def repeat(self, name: str, once: Callable[[random.Random], object], seed: int) -> None:
        """Do something until the end, and count what comes of it."""
        draw = random.Random(f"{name} {seed}")
        while not self.ended.is_set():
            try:
                outcome = str(once(draw))
            except (OSError, httpx.HTTPError) as exc:
                outcome = type(exc).__name__
            self.outcomes[f"{name}: {outcome}"] += 1

    def client(self, address: str | None = None) -> httpx.Client:
        """Return a client, which connects from this address."""
        transport = httpx.HTTPTransport(local_address=address)
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", transport=transport, timeout=60
        )

    def good(self, client: httpx.Client) -> Callable[[random.Random], object]:
        """Return what a client with a key does."""

        def once(draw: random.Random) -> object:
            match draw.randrange(4):
                case 0:
                    path = f"/v1/images/{draw.randrange(1, IMAGES)}/thumbnail?size=160"
                    return client.get(path, headers=RIGHT).status_code
                case 1:
                    path = f"/v1/images/{draw.randrange(1, IMAGES)}/file"
                    return client.get(path, headers=RIGHT).status_code
                case 2:
                    files = {"file": draw.choice(self.uploads)}
                    return client.post("/v1/search/image", files=files, headers=RIGHT).status_code
                case _:
                    word = f"something {draw.randrange(1000)}"
                    return client.get("/v1/search", params={"q": word}, headers=RIGHT).status_code

        return once

    def mutated(self, client: httpx.Client) -> Callable[[random.Random], object]:
        """Return an upload of an image with some bytes changed."""

        def once(draw: random.Random) -> object:
            data = bytearray(draw.choice(self.uploads))
            for _ in range(draw.randrange(1, 20)):
                data[draw.randrange(len(data))] = draw.randrange(256)
            if draw.random() < 0.3:
                del data[draw.randrange(len(data)) :]
            files = {"file": bytes(data)}
            return client.post("/v1/search/image", files=files, headers=RIGHT).status_code

        return once

    def guess(self, client: httpx.Client) -> Callable[[random.Random], object]:
        """Return a request with a wrong key."""

        def once(draw: random.Random) -> object:
            time.sleep(0.02)
            return client.get("/v1/status", headers={"X-API-Key": str(draw.random())}).status_code

        return once

    def broken(self, address: str) -> Callable[[random.Random], object]:
        """Return a connection that says what no client says."""

        def once(draw: random.Random) -> object:
            time.sleep(0.02)
            said = draw.choice(
                (
                    draw.randbytes(200),
                    b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * 40_000,
                    b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
                    b"GET /v1/search?q=%ff%fe HTTP/1.1\r\nHost: localhost\r\n\r\n",
                    b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
                )
            )
            with socket.create_connection(("127.0.0.1", self.port), 10, (address, 0)) as made:
                made.sendall(said)
                return made.recv(12)[9:].decode("latin-1") or "closed"

        return once

    def slow(self, address: str) -> Callable[[random.Random], object]:
        """Return many connections that send headers and no end."""

        def once(draw: random.Random) -> object:
            made = []
            for _ in range(100):
                connection = socket.create_connection(("127.0.0.1", self.port), 10, (address, 0))
                connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
                made.append(connection)
            self.ended.wait(draw.uniform(1, 20))
            for connection in made:
                connection.close()
            return "let go"

        return once

    def swap(self, draw: random.Random) -> object:
        """Make a link of an image, and an image of it again."""
        image = self.photos / f"{draw.randrange(IMAGES // 2)}.jpg"
        other, kept = self.photos.parent / "other", self.photos.parent / "kept"
        shutil.copy2(image, kept)
        other.symlink_to("/etc/passwd")
        os.replace(other, image)
        time.sleep(0.05)
        os.replace(kept, image)
        return "swapped"

    def index(self, collection: Path) -> Callable[[random.Random], object]:
        """Return a run of `index`, with a new image."""

        def once(draw: random.Random) -> object:
            make_image(self.photos / "new.jpg", draw.randrange(2**32))
            done = subprocess.run(
                [COMMAND, "index", self.photos, "--collection", collection],
                capture_output=True,
                timeout=300,
            )
            self.ended.wait(20)
            return f"exit code {done.returncode}"

        return once


def taken(process: int) -> tuple[float, int, int]:
    """Return MiB of memory, open files and threads of a process and its children."""
    memory = files = threads = 0
    own = {process}
    for path in sorted(Path("/proc").glob("[0-9]*"), key=lambda one: int(one.name)):
        with suppress(OSError, IndexError):
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if int(path.name) != process and parent not in own:
                continue
            own.add(int(path.name))
            status = (path / "status").read_text()
            memory += int(re.search(r"VmRSS:\s+(\d+)", status)[1])  # type: ignore[index]
            if int(path.name) == process:
                files = len(os.listdir(path / "fd"))
                threads = int(re.search(r"Threads:\s+(\d+)", status)[1])  # type: ignore[index]
    return memory / 1024, files, threads


def run(minutes: float, seed: int, folder: Path) -> list[str]:
    """Serve for a time; return the faults."""
    photos, collection, log = folder / "photos", folder / "collection", folder / "log"
    photos.mkdir()
    for number in range(IMAGES):
        make_image(photos / f"{number}.jpg", number)
    subprocess.run([COMMAND, "index", photos, "--collection", collection], check=True)
    with open(log, "w", encoding="utf-8") as written:
        server = subprocess.Popen(
            [COMMAND, "serve", "--port", "0", "--collection", collection],
            stderr=written,
            env={**os.environ, "CLIPDEX_API_KEY": KEY, "CLIPDEX_ACCESS_LOG": "0"},
        )
    while not (found := re.search(r"http://127.0.0.1:(\d+)", log.read_text())):
        time.sleep(0.1)
    uploads = []
    for form in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000"):
        path = folder / f"upload.{form}"
        with Image.open(photos / "0.jpg") as image:
            image.save(path, form)
        uploads.append(path.read_bytes())
    attack = Attack(int(found[1]), photos, uploads)
    httpx.get(f"http://127.0.0.1:{found[1]}/healthz", timeout=60)
    # By address: wrong keys of one client must not keep the others out.
    work: list[tuple[str, Callable[[random.Random], object]]] = [
        *[(f"good {n}", attack.good(attack.client("127.0.0.1"))) for n in range(3)],
        ("mutated", attack.mutated(attack.client(HOSTILE[0]))),
        ("guess", attack.guess(attack.client(HOSTILE[1]))),
        ("broken", attack.broken(HOSTILE[2])),
        *[("slow", attack.slow(address)) for address in HOSTILE[3:6]],
        ("swap", attack.swap),
        ("index", attack.index(collection)),
    ]
    threads = [
        threading.Thread(target=attack.repeat, args=(name, once, seed + n))
        for n, (name, once) in enumerate(work)
    ]
    for thread in threads:
        thread.start()
    samples = []
    end = time.monotonic() + minutes * 60
    while time.monotonic() < end and server.poll() is None:
        time.sleep(SAMPLE_SECONDS)
        samples.append(taken(server.pid))
        if len(samples) % 24 == 0:
            say(" ".join(f"{value:.0f}" for value in samples[-1]))
    attack.ended.set()
    for thread in threads:
        thread.join()
    alive = server.poll() is None
    server.terminate()
    code = server.wait(timeout=60)
    for outcome, count in sorted(attack.outcomes.items()):
        say(f"{count:9,}  {outcome}")
    return faults(samples, attack.outcomes, log.read_text(), alive=alive, code=code)


def faults(
    samples: list[tuple[float, int, int]],
    outcomes: Counter[str],
    log: str,
    *,
    alive: bool,
    code: int,
) -> list[str]:
    """Return what went wrong, and print what the server took."""
    settled = samples[SETTLED_SAMPLES:]
    last = max(1, len(settled) // 10)
    found = []
    for at, name, allowed in ((0, "MiB", 1.1), (1, "open files", 1.5), (2, "threads", 1.1)):
        if len(settled) < SETTLED_SAMPLES:
            say(f"{name}: {samples[-1][at]:.0f} at the end, too early to compare")
            continue
        early = statistics.median(sample[at] for sample in settled[:last])
        late = statistics.median(sample[at] for sample in settled[-last:])
        say(f"{name}: {early:.0f} after ten minutes, {late:.0f} at the end")
        if late > allowed * early:
            found.append(f"{name} grew from {early:.0f} to {late:.0f}")
    if not alive or code != 143:
        found.append(f"the server ended with {code}")
    if "Traceback" in log:
        found.append("a traceback in the log")
    found += [one for one in outcomes if re.search(r": 5(?!03)\d\d", one)]
    # A file that is a link just now has failed.
    ends = ("exit code 0", "exit code 3")
    found += [one for one in outcomes if one.startswith("index") and not one.endswith(ends)]
    found += [one for one in outcomes if one.startswith("good") and "Error" in one]
    return found


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=18)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(options.minutes, options.seed, Path(folder))
    for fault in found:
        say(f"FAULT: {fault}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
