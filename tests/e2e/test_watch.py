"""`clipdex watch`: what happens in a folder is found, and nothing is lost."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("watchfiles")

from support.command import COMMAND, Run, json_lines
from support.images import make_photo
from support.servers import serving
from support.waiting import wait_until


@contextmanager
def watching(folder: Path, collection: Path, *options: object) -> Iterator[subprocess.Popen[bytes]]:
    """The command, once its first run is over."""
    log = collection.with_suffix(".log")
    with open(log, "wb") as stream:
        process = subprocess.Popen(
            [COMMAND, "watch", folder, "--collection", collection, "--json", *map(str, options)],
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: b"indexed" in log.read_bytes() or process.poll() is not None, seconds=60)
        assert process.poll() is None, log.read_bytes()
        yield process
    finally:
        process.kill()
        process.wait()


def known(collection: Path) -> set[str]:
    """The files that a search may find, below the watched folder."""
    done = subprocess.run(
        [COMMAND, "search", "a photo", "-k", "5000", "--paths", "--collection", collection],
        capture_output=True,
        check=True,
    )
    return {"/".join(Path(os.fsdecode(line)).parts[-2:]) for line in done.stdout.splitlines()}


def photos(folder: Path, numbers: range) -> set[str]:
    folder.mkdir(exist_ok=True)
    for number in numbers:
        make_photo(folder / f"{number}.png", number, (64, 48))
    return {f"{folder.name}/{number}.png" for number in numbers}


@pytest.mark.parametrize("options", [(), ("--poll",)], ids=["told", "polled"])
def test_what_happens_is_found(tmp_path: Path, options: tuple[str, ...]) -> None:
    home, collection = tmp_path / "home", tmp_path / "collection"
    home.mkdir()
    first = photos(home / "first", range(3))
    with watching(home, collection, *options):
        assert known(collection) == first
        second = photos(home / "second", range(10, 30))
        wait_until(lambda: known(collection) == first | second, seconds=60)
        (home / "second").rename(home / "third")
        third = {name.replace("second", "third") for name in second}
        wait_until(lambda: known(collection) == first | third, seconds=60)
        (home / "first" / "0.png").unlink()
        shutil.rmtree(home / "third")
        rest = first - {"first/0.png"}
        wait_until(lambda: known(collection) == rest, seconds=60)
        make_photo(home / "first" / "1.png", 77, (80, 48))
        (home / "first" / "notes.txt").write_text("no image")
        deep = photos(home / "first" / "deep", range(40, 42))
        wait_until(lambda: known(collection) == rest | deep, seconds=60)
        (hit,) = [
            one for one in json_lines(_search(collection)) if one["path"].endswith("first/1.png")
        ]
        assert hit["width"] == 80
    reports = [json.loads(row) for row in _log(collection) if row.startswith("{")]
    assert sum(report["indexed"] for report in reports) == 3 + 20 + 1 + 2
    assert sum(report["reused"] for report in reports) == 20  # renamed, not encoded again
    # Once all is found there is nothing more to do: its own files do not wake it.
    assert all(report["indexed"] or report["reused"] or report["removed"] for report in reports)


def _search(collection: Path) -> subprocess.CompletedProcess[bytes]:
    command = [COMMAND, "search", "a photo", "-k", "100", "--json", "--collection", collection]
    return subprocess.run(command, capture_output=True, check=True)


def _log(collection: Path) -> list[str]:
    return collection.with_suffix(".log").read_text().splitlines()


def test_what_happened_after_a_kill_is_found_at_the_next_start(tmp_path: Path) -> None:
    home, collection = tmp_path / "home", tmp_path / "collection"
    home.mkdir()
    before = photos(home / "a", range(3))
    with watching(home, collection) as process:
        more = photos(home / "b", range(100, 160))
        wait_until(lambda: len(known(collection)) > 3, seconds=60)
        process.send_signal(signal.SIGKILL)
        process.wait()
    later = photos(home / "c", range(200, 203))
    shutil.rmtree(home / "a")
    with watching(home, collection):
        assert known(collection) == more | later
    assert before & known(collection) == set()


def test_what_is_left_out_stays_out(clipdex: Run, tmp_path: Path) -> None:
    home, collection = tmp_path / "home", tmp_path / "collection"
    home.mkdir()
    seen = photos(home / "seen", range(2))
    photos(home / "private", range(10, 12))
    photos(home / "drafts", range(20, 22))
    clipdex("index", home, "--exclude", "drafts")
    clipdex("forget", home / "private")
    elsewhere = tmp_path / "elsewhere"
    photos(elsewhere, range(30, 31))
    with watching(home, collection):
        photos(home / "private", range(12, 14))
        photos(home / "drafts", range(22, 24))
        (home / "seen" / "link").symlink_to(elsewhere)
        (home / "seen" / "link.png").symlink_to(elsewhere / "30.png")
        seen |= photos(home / "seen", range(2, 4))
        wait_until(lambda: known(collection) >= seen, seconds=60)
        time.sleep(1)
        found = known(collection)
        assert {name for name in found if not name.startswith("seen/link")} == seen
    (status,) = json_lines(clipdex("status", "--json"))
    assert status["roots"] == [str(home)]
    assert not any("left out" in row for row in _log(collection))


def test_another_writer_is_waited_for(clipdex: Run, tmp_path: Path) -> None:
    home, collection, other = tmp_path / "home", tmp_path / "collection", tmp_path / "other"
    home.mkdir()
    seen = photos(home / "seen", range(2))
    photos(other, range(1000, 1400))
    with watching(home, collection):
        command = [COMMAND, "index", other, "--collection", collection]
        busy = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        wait_until(lambda: (collection / "writer.json").exists(), seconds=60)
        seen |= photos(home / "seen", range(2, 4))
        wait_until(lambda: known(collection) >= seen, seconds=120)
        assert busy.wait(timeout=120) == 0
        assert len(known(collection)) == 404


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_it_is_told_to(tmp_path: Path, number: signal.Signals) -> None:
    home, collection = tmp_path / "home", tmp_path / "collection"
    home.mkdir()
    photos(home / "a", range(1))
    with watching(home, collection) as process:
        process.send_signal(number)
        assert process.wait(timeout=20) == 128 + number
    assert not (collection / "writer.json").exists()


def test_what_cannot_be_watched_is_one_line(clipdex: Run, tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "photo.png", 1, (64, 48))
    for path, why in (
        (tmp_path / "missing", b"is not there"),
        (photo, b"is not a folder"),
        ("s3://bucket/photos", b"cannot be watched"),
    ):
        done = clipdex("watch", path, code=1)
        assert why in done.stderr
        assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_watches(tmp_path: Path, workers: int) -> None:
    home, collection = tmp_path / "home", tmp_path / "collection"
    home.mkdir()
    seen = photos(home / "a", range(2))
    with serving(collection, "--watch", home, "--workers", workers) as server:

        def found() -> set[str]:
            hits = server.get("/v1/search", params={"q": "a photo", "k": 100}).json()["hits"]
            return {hit["path"] for hit in hits}

        wait_until(lambda: found() == seen, seconds=60)
        seen |= photos(home / "b", range(10, 12))
        wait_until(lambda: found() == seen, seconds=60)
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
        processes = children.read_text().split()
    assert processes
    wait_until(lambda: not any(Path(f"/proc/{one}").exists() for one in processes), seconds=20)
