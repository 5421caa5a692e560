"""Send requests to a server as fast as it answers, and print rate and latencies as JSON.

usage: python benchmarks/load.py URL QUERIES.json --connections N (--seconds S | --requests N)

Part of `benchmarks/serving.py`. Plain asyncio streams: an HTTP library would need more of the cores
than the server does.
"""

import argparse
import asyncio
import json
import sys
import time
from itertools import cycle
from pathlib import Path
from urllib.parse import quote, urlsplit


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("url")
    asked.add_argument("queries", type=Path)
    asked.add_argument("--connections", type=int, default=16)
    asked.add_argument("--seconds", type=float, default=0)
    asked.add_argument("--requests", type=int, default=0)
    asked.add_argument("--mixed", type=int, default=0)
    given = asked.parse_args()
    queries = json.loads(given.queries.read_text())
    sys.stdout.write(json.dumps(asyncio.run(_run(given, queries))))


async def _run(given: argparse.Namespace, queries: list[str]) -> dict[str, float]:
    paths = cycle(_paths(queries, mixed=bool(given.mixed)))
    latencies: list[float] = []
    errors = 0
    began = time.perf_counter()
    left = given.requests or float("inf")
    end = began + (given.seconds or float("inf"))
    host = urlsplit(given.url)

    async def client() -> None:
        nonlocal left, errors
        reader, writer = await asyncio.open_connection(host.hostname, host.port)
        while left > 0 and time.perf_counter() < end:
            left -= 1
            started = time.perf_counter()
            writer.write(f"GET {next(paths)} HTTP/1.1\r\nHost: {host.netloc}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
            await reader.readexactly(int(length))
            latencies.append(time.perf_counter() - started)
            errors += not head.startswith(b"HTTP/1.1 200")
        writer.close()

    await asyncio.gather(*(client() for _ in range(given.connections)))
    seconds = time.perf_counter() - began
    latencies.sort()
    return {
        "rate": len(latencies) / seconds,
        "p50": latencies[len(latencies) // 2],
        "p99": latencies[int(len(latencies) * 0.99)],
        "errors": errors,
    }


def _paths(queries: list[str], *, mixed: bool) -> list[str]:
    searches = [f"/v1/search?q={quote(text)}" for text in queries]
    if not mixed:
        return searches
    found = []
    for number, search in enumerate(searches, start=1):
        found += [
            search,
            f"/v1/images/{number}/thumbnail?size=320",
            f"/v1/images/{number}/similar?k=20",
            f"/v1/images/{number}",
            f"/v1/images/{number}/file",
        ]
    return found


if __name__ == "__main__":
    main()
