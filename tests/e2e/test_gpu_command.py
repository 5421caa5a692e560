"""`clipdex index --device cuda` where two devices are found that are this machine's CPU."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from support.command import COMMAND, REPOSITORY, Run, json_lines
from support.images import make_photo
from support.waiting import wait_until

pytest.importorskip("open_clip")

# Python runs a `sitecustomize` that it finds on its path before anything else; each process
# writes down at its end what it had imported.
HOOK = """
import atexit, os, sys
from indexer.devices import detect
detect.devices = lambda kind="auto": ["cpu", "cpu"]
def write():
    with open(os.path.join(os.environ["IMPORTED"], str(os.getpid())), "w") as file:
        file.write("\\n".join(sys.modules))
atexit.register(write)
"""


@pytest.fixture
def two_devices(tmp_path: Path) -> dict[str, str]:
    for name in ("hook", "imported"):
        (tmp_path / name).mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(HOOK)
    return {"PYTHONPATH": str(tmp_path / "hook"), "IMPORTED": str(tmp_path / "imported")}


def test_gpu_processes_give_the_cpus_hits(
    clipdex: Run, two_devices: dict[str, str], sample_photos: Path, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("chelsea.png", "coffee.png", "rocket.jpg", "camera.png", "moon.png", "page.png"):
        shutil.copy(sample_photos / name, photos)
    done = clipdex("index", photos, "--device", "cuda", "--json", env=two_devices)
    assert json_lines(done)[0]["indexed"] == 6
    assert done.stderr.decode() == "2 GPUs (cpu, cpu), fp32\n"
    (mine,) = [
        names
        for file in (tmp_path / "imported").iterdir()
        if "cli" in (names := set(file.read_text().splitlines()))
    ]
    assert "faiss" in mine
    assert not mine & {"torch", "open_clip"}
    clipdex("index", photos, "--device", "cpu", "--collection", tmp_path / "cpu")
    for query in ("a cat", "a cup of coffee"):
        ours, theirs = (
            [
                (hit["path"], round(hit["score"], 2))
                for hit in json_lines(clipdex("search", query, "--json", *place))
            ]
            for place in ((), ("--collection", tmp_path / "cpu"))
        )
        assert ours == theirs


def test_small_runs_do_not_start_a_gpu(
    clipdex: Run, two_devices: dict[str, str], tmp_path: Path
) -> None:
    photo = make_photo(tmp_path / "photos" / "a.png", 1)
    done = clipdex("index", photo.parent, env=two_devices)
    assert (done.stdout[:9], done.stderr) == (b"1 indexed", b"")
    assert len(list((tmp_path / "imported").iterdir())) == 1


# And devices without a model, 0.2 s a batch.
QUICK = """
from indexer import load
from support import tensor_encoders
load.load_torch = tensor_encoders.slow
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.long
def test_ctrl_c_ends_the_gpu_processes(
    clipdex: Run, two_devices: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "hook" / "sitecustomize.py").write_text(HOOK + QUICK)
    folder = tmp_path / "photos"
    for number in range(600):
        make_photo(folder / f"{number:03}.png", number)
    environment = {
        **os.environ,
        **two_devices,
        "PYTHONPATH": os.pathsep.join((str(tmp_path / "hook"), str(REPOSITORY / "tests"))),
        "CLIPDEX_COLLECTION": str(tmp_path / "collection"),
        "CLIPDEX_CACHE": str(tmp_path / "cache"),
    }
    with subprocess.Popen(
        [COMMAND, "index", folder, "--device", "cuda", "--batch-size", "4"],
        env=environment,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as running:
        assert running.stderr is not None
        assert running.stderr.readline().startswith(b"2 GPUs")
        # Two that encode, two that decode for each, and Python's keeper of shared memory.
        wait_until(lambda: len(descendants(running.pid)) >= 5)
        wait_until(lambda: vector_count(tmp_path / "collection"))
        children = descendants(running.pid)
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does
        _, messages = running.communicate(timeout=300)
    assert running.returncode == 130, messages
    assert messages.decode().splitlines() == [
        "interrupted: what was indexed so far is kept; run the same command to continue",
    ]
    assert len(children) >= 5
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))
    kept = len(json_lines(clipdex("search", "colours", "-k", 700, "--json")))
    assert 0 < kept < 600
    (report,) = json_lines(clipdex("index", folder, "--device", "cpu", "--json"))
    assert (report["unchanged"], report["indexed"]) == (kept, 600 - kept)


def vector_count(collection: Path) -> int:
    """How many vectors are committed."""
    if not (collection / "catalogue.sqlite3").exists():
        return 0
    with closing(sqlite3.connect(collection / "catalogue.sqlite3")) as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM embeddings").fetchone()[0])
        except sqlite3.OperationalError:  # it has no tables yet
            return 0


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, tasks.read_text().split()):
            found += [child, *descendants(child)]
    return found
