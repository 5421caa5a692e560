"""Where a server writes a line for each request."""

import json
import os
import pty
import re
import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from support.command import COMMAND
from support.servers import serving

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such terminals")


@pytest.mark.parametrize(
    ("options", "lines"), [((), 2), (("--access-log",), 2), (("--no-access-log",), 0)]
)
def test_a_log_that_is_no_terminal(
    photos_indexed: tuple[Path, Path], options: tuple[str, ...], lines: int
) -> None:
    with serving(photos_indexed[1], *options) as server:
        server.get("/v1/folders")
    logged = [json.loads(line) for line in server.log if line.startswith("{")]
    assert [one["path"] for one in logged] == ["/healthz", "/v1/folders"][:lines]


@pytest.mark.parametrize(("options", "shown"), [((), False), (("--access-log",), True)])
def test_a_terminal_is_left_alone(
    photos_indexed: tuple[Path, Path], options: tuple[str, ...], shown: bool
) -> None:
    ours, theirs = pty.openpty()
    command = [COMMAND, "serve", "--port", "0", "--collection", photos_indexed[1], *options]
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    try:
        while not (found := re.search(rb"(http://\S+)", said)):
            said += os.read(ours, 65536)
        assert httpx.get(f"{found[1].decode()}/v1/folders", timeout=120).status_code == 200
        process.send_signal(signal.SIGINT)
        try:
            while part := os.read(ours, 65536):
                said += part
        except OSError:  # Linux's way to say that the other end is closed
            pass
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert (b"/v1/folders" in said) == shown
