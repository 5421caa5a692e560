"""Files that crash their decoders: the command and the server go on."""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.command import Run, json_lines
from support.hostile import children_of, crashing_heic, heic_with_text, is_running
from support.images import make_photo
from support.servers import Served, serving
from support.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and /proc")


def photo(seed: int) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    return Image.fromarray(values).resize((96, 72), Image.Resampling.BICUBIC)


def test_one_crashing_file_does_not_end_the_others(clipdex: Run, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for number in range(4):
        make_photo(photos / f"{number}.jpg", number)
        (photos / f"{number}.heic").write_bytes(heic_with_text(photo(10 + number)))
    (photos / "1-bad.heic").write_bytes(crashing_heic(photo(1)))
    done = clipdex("index", photos, "--json", code=3)
    (report,) = json_lines(done)
    assert (report["indexed"], report["failed"]) == (8, 1)
    (line,) = done.stderr.decode().splitlines()
    assert "1-bad.heic: its HEIC decoder crashed (SIG" in line
    (again,) = json_lines(clipdex("index", photos, "--json"))
    assert (again["indexed"], again["unchanged"], again["failed"]) == (0, 9, 0)
    assert b"1-bad.heic" in clipdex("status").stdout
    refused = tmp_path / "query.heic"
    refused.write_bytes(crashing_heic(photo(2)))
    for arguments in (("search", "--image", refused), ("similar", refused)):
        message = clipdex(*arguments, code=1).stderr.decode()
        assert message.startswith("error: ")
        assert "its HEIC decoder crashed (SIG" in message
        assert "Traceback" not in message


def test_an_upload_does_not_end_the_server(served: Served) -> None:
    bad, good = crashing_heic(photo(1)), heic_with_text(photo(1))
    for _ in range(2):
        refused = served.post("/v1/search/image", files={"file": ("x.heic", bad)})
        assert refused.status_code == 422
        assert "HEIC decoder crashed" in refused.json()["detail"]
        found = served.post("/v1/search/image", files={"file": ("x.heic", good)})
        assert found.status_code == 200
    assert served.process.poll() is None


def test_no_decoder_outlives_a_killed_server(
    photos_indexed: tuple[Path, Path], tmp_path: Path
) -> None:
    with serving(photos_indexed[1]) as server:
        good = heic_with_text(photo(1))
        assert server.post("/v1/search/image", files={"file": ("x.heic", good)}).is_success
        below = children_of(server.process.pid)
        assert below
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        wait_until(lambda: not any(is_running(pid) for pid in below))
