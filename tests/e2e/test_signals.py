"""Ctrl-C and SIGTERM at each stage: one line and 130 or 143, and nothing left behind."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.command import COMMAND
from support.images import make_photo
from support.waiting import wait_until

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has other signals")

WORDS = {signal.SIGINT: b"interrupted", signal.SIGTERM: b"terminated"}


def ended(process: subprocess.Popen[bytes], number: signal.Signals) -> bytes:
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number, said
    assert said.splitlines()[-1].startswith(WORDS[number])
    assert b"Traceback" not in said
    return said


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signals")
    for seed in range(200):
        make_photo(folder / f"{seed}.png", seed, (400, 300))
    return folder


@pytest.mark.parametrize("number", list(WORDS))
@pytest.mark.parametrize("times", [1, 2])
def test_index_keeps_what_it_has(
    photos: Path, tmp_path: Path, number: signal.Signals, times: int
) -> None:
    collection = tmp_path / "collection"
    command = [COMMAND, "index", photos, "--collection", collection, "--batch-size", "8"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: (collection / "writer.json").exists())
    time.sleep(0.5)
    for _ in range(times):
        process.send_signal(number)
    said = ended(process, number)
    if times == 1:
        assert len(said.splitlines()) == 1
        assert not (collection / "writer.json").exists()
        assert not (collection / "catalogue.sqlite3-wal").exists()
    assert subprocess.run(command, capture_output=True).returncode == 0
    status = [COMMAND, "status", "--json", "--collection", collection]
    assert b'"images": 200' in subprocess.run(status, capture_output=True).stdout


@pytest.mark.parametrize("number", list(WORDS))
@pytest.mark.parametrize("times", [1, 2])
def test_serve_ends(photos_indexed: tuple[Path, Path], number: signal.Signals, times: int) -> None:
    command = [COMMAND, "serve", "--port", "0", "--collection", photos_indexed[1]]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    assert process.stderr.readline().startswith(b"clipdex is at")
    time.sleep(1)
    for _ in range(times):
        process.send_signal(number)
    ended(process, number)


@pytest.mark.parametrize("number", list(WORDS))
def test_a_signal_while_modules_load(number: signal.Signals, tmp_path: Path) -> None:
    # Typer takes its time to load, as on a cold disk.
    (tmp_path / "typer.py").write_text("import time\nprint('here', flush=True)\ntime.sleep(60)\n")
    process = subprocess.Popen(
        [COMMAND, "search", "a cat"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"here\n"
    process.send_signal(number)
    assert len(ended(process, number).splitlines()) == 1
