"""Runs that are killed, disks that are full, vector files that are lost."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from random import Random

import numpy as np
import pytest

from indexer import build
from indexer.images.decode import Limits, decode
from indexer.images.preprocess import Preprocess
from indexer.store.catalog import Catalog
from indexer.store.collection import Collection
from indexer.testing import FakeEncoder
from search import Engine
from support.command import COMMAND, REPOSITORY, Run, json_lines
from support.images import make_photo
from support.waiting import wait_until

SCRIPT = Path(__file__).parent / "index_with_fake.py"
IMAGES = 80


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 different images, 8 copies of some, 4 bad files."""
    folder = tmp_path_factory.mktemp("crash") / "photos"
    for number in range(IMAGES):
        make_photo(folder / f"{number:03}.png", number)
    for number in range(8):
        shutil.copy(folder / f"{number:03}.png", folder / f"{number * 9:03}-copy.png")
    for number in range(4):
        (folder / f"{number * 17:03}-bad.jpg").write_text("no image")
    return folder


def start(photos: Path, collection: Path, log: Path, seconds: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, SCRIPT, photos, collection, log, str(seconds)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )


def finish(running: subprocess.Popen[bytes]) -> tuple[int, bytes]:
    """(exit code, what it wrote to stderr)"""
    _, messages = running.communicate(timeout=300)
    return running.returncode, messages


def keys_of_committed(collection: Path) -> set[str]:
    """What the fake encoder's log calls the contents that are committed now."""
    import hashlib

    connection = sqlite3.connect(collection / "catalogue.sqlite3")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    rows = []
    if connection.execute("PRAGMA user_version").fetchone() != (0,):  # killed before its tables
        rows = connection.execute(
            "SELECT roots.path, files.path FROM files JOIN roots ON roots.id = root "
            "JOIN embeddings USING (content)"
        ).fetchall()
    connection.close()
    keys = set()
    for root, path in rows:
        data = Path(os.fsdecode(os.path.join(root, path))).read_bytes()
        pixels = Preprocess((32, 32)).pixels(decode(data, Limits()).image)
        keys.add(hashlib.sha256(pixels.tobytes()).hexdigest())
    return keys


def everything(collection: Path) -> dict[bytes, tuple[object, ...]]:
    """Each path with its hash, reason and vector, and that vector as the index finds it."""
    connection = sqlite3.connect(collection / "catalogue.sqlite3")
    rows = connection.execute(
        "SELECT files.path, files.size, files.mtime_ns, hash, reason, vector, contents.paths "
        "FROM files LEFT JOIN contents ON contents.id = content LEFT JOIN embeddings "
        "USING (content)"
    ).fetchall()
    contents = connection.execute("SELECT count(*) FROM contents").fetchone()
    connection.close()
    with Engine.open(collection, encoder=FakeEncoder()) as engine:
        vector = FakeEncoder().encode_texts(["anything"])[0]
        hits = {path: hit.score for hit in engine.rank(vector, k=1000) for path in hit.raw_paths}
    found = {os.path.basename(path): round(score, 4) for path, score in hits.items()}
    return {row[0]: (*row[1:], contents, found.get(row[0])) for row in rows}


@pytest.mark.parametrize("kills", [5, pytest.param(20, marks=pytest.mark.long)])
def test_a_killed_run_loses_only_the_batch_in_flight(
    kills: int, photos: Path, tmp_path: Path
) -> None:
    undisturbed = start(photos, tmp_path / "whole", tmp_path / "whole.log", 0.03)
    assert finish(undisturbed) == (0, b"")
    expected = everything(tmp_path / "whole")
    assert len(expected) == IMAGES + 8 + 4
    logged = (tmp_path / "whole.log").read_text().split()
    assert len(logged) == len(set(logged)) == IMAGES
    random = Random(3)
    partial = 0
    for number in range(kills):
        collection, log = tmp_path / f"c{number}", tmp_path / f"{number}.log"
        running = start(photos, collection, log, 0.03)
        # From the first to the last batch of four, and a moment that no clock of the test knows.
        encoded = random.randrange(1, IMAGES - 3)
        kill_when_encoded(running, log, encoded, random.uniform(0, 0.04))
        committed = keys_of_committed(collection)
        partial += 0 < len(committed) < IMAGES
        before = log.read_text().split()
        assert committed <= set(before)
        assert finish(start(photos, collection, log, 0.0)) == (0, b"")
        encoded_again = log.read_text().split()[len(before) :]
        assert not committed & set(encoded_again)
        assert len(encoded_again) == IMAGES - len(committed)
        assert everything(collection) == expected
    assert partial >= 3, "too few of the kills fell into the run"


@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.5])
def test_a_run_killed_at_its_start_can_be_repeated(
    seconds: float, photos: Path, tmp_path: Path
) -> None:
    collection, log = tmp_path / "c", tmp_path / "log"
    running = start(photos, collection, log, 0.03)
    time.sleep(seconds)
    running.send_signal(signal.SIGKILL)
    finish(running)
    committed: set[str] = set()
    if (collection / "catalogue.sqlite3").exists():
        committed = keys_of_committed(collection)
    before = log.read_text().split() if log.exists() else []
    assert finish(start(photos, collection, log, 0.0)) == (0, b"")
    assert len(log.read_text().split()) - len(before) == IMAGES - len(committed)
    assert len(everything(collection)) == IMAGES + 8 + 4


def kill_when_encoded(
    running: subprocess.Popen[bytes], log: Path, encoded: int, seconds: float
) -> None:
    """Kill a run this long after its encoder has logged so many images."""
    wait_until(
        lambda: (
            running.poll() is not None
            or (log.exists() and log.read_bytes().count(b"\n") >= encoded)
        )
    )
    time.sleep(seconds)
    running.send_signal(signal.SIGKILL)
    finish(running)


def test_ctrl_c_keeps_what_was_indexed(clipdex: Run, sample_photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for number in range(400):
        make_photo(folder / f"{number:03}.png", number)
    environment = {**os.environ, "CLIPDEX_COLLECTION": str(tmp_path / "collection")}
    running = subprocess.Popen([COMMAND, "index", folder], env=environment, stderr=subprocess.PIPE)
    catalog = tmp_path / "collection" / "catalogue.sqlite3"

    def committed() -> int:
        if not catalog.exists():
            return 0
        with closing(sqlite3.connect(catalog)) as connection:
            try:
                return int(connection.execute("SELECT count(*) FROM embeddings").fetchone()[0])
            except sqlite3.OperationalError:  # it has no tables yet
                return 0

    wait_until(committed)
    done = committed()
    running.send_signal(signal.SIGINT)
    code, messages = finish(running)
    assert code == 130
    assert b"run the same command to continue" in messages
    assert b"Traceback" not in messages
    kept = len(json_lines(clipdex("search", "colours", "-k", 500, "--json")))
    assert done <= kept < 400
    (report,) = json_lines(clipdex("index", folder, "--json"))
    assert (report["unchanged"], report["indexed"]) == (kept, 400 - kept)


def test_a_full_disk_keeps_what_fits(photos: Path, tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", place], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system here: {mounted.stderr.decode().strip()}")
    try:
        code, message = finish(start(photos, place / "c", tmp_path / "log", 0.0))
        assert code != 0
        assert b"CollectionStorageError" in message
        assert b"free some" in message
        committed = keys_of_committed(place / "c") if (place / "c").exists() else set()
        before = (tmp_path / "log").read_text().split()
        subprocess.run(["mount", "-o", "remount,size=40m", place], check=True)
        assert finish(start(photos, place / "c", tmp_path / "log", 0.0)) == (0, b"")
        assert not committed & set((tmp_path / "log").read_text().split()[len(before) :])
        assert finish(start(photos, tmp_path / "whole", tmp_path / "log2", 0.0)) == (0, b"")
        assert everything(place / "c") == everything(tmp_path / "whole")
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("damage", ["deleted", "cut", "older", "older under the newer name"])
def test_a_lost_vector_file_changes_no_answer(damage: str, photos: Path, tmp_path: Path) -> None:
    mine = tmp_path / "photos"
    shutil.copytree(photos, mine)
    collection, encoder = tmp_path / "c", FakeEncoder()
    build([mine], collection=collection, encoder=encoder)
    (old,) = (collection / "vectors").iterdir()
    older = old.read_bytes()
    make_photo(mine / "new.png", 1000)
    (mine / "001.png").unlink()
    build([mine], collection=collection, encoder=encoder, prune_vanished=True)
    expected = everything(collection)
    (new,) = (collection / "vectors").iterdir()
    assert new.name != old.name
    match damage:
        case "deleted":
            new.unlink()
        case "cut":
            os.truncate(new, new.stat().st_size // 2)
        case "older":
            new.unlink()
            old.write_bytes(older)
        case _:
            new.write_bytes(older)
    assert everything(collection) == expected
    build([mine], collection=collection, encoder=encoder)
    assert everything(collection) == expected
    assert len(list((collection / "vectors").iterdir())) == 1
    assert sum(encoder.batches) == IMAGES + 1


def test_a_second_writer_is_refused(photos: Path, tmp_path: Path) -> None:
    collection = tmp_path / "c"
    build([photos], collection=collection, encoder=FakeEncoder())
    make_photo(tmp_path / "more" / "a.png", 500)
    running = start(tmp_path / "more", collection, tmp_path / "log", 300.0)  # until it is killed
    wait_until((collection / "writer.json").exists)
    _, message = finish(start(photos, collection, tmp_path / "log", 0.0))
    assert f"process {running.pid} on".encode() in message
    assert len(everything(collection)) == IMAGES + 8 + 4
    running.kill()
    finish(running)
    assert build([photos], collection=collection, encoder=FakeEncoder()).indexed == 0


def test_a_reader_sees_what_a_writer_commits(photos: Path, tmp_path: Path) -> None:
    collection, encoder = tmp_path / "c", FakeEncoder()
    build([photos], collection=collection, encoder=encoder)
    with Engine.open(collection, encoder=encoder) as engine:
        assert len(engine.search("x", k=500)) == IMAGES
        make_photo(tmp_path / "more" / "a.png", 500)
        build([tmp_path / "more"], collection=collection, encoder=encoder)
        assert len(engine.search("x", k=500)) == IMAGES + 1


def test_a_search_with_another_model_is_refused(photos: Path, tmp_path: Path) -> None:
    from indexer.errors import FingerprintMismatch

    build([photos], collection=tmp_path / "c", encoder=FakeEncoder())
    with pytest.raises(FingerprintMismatch, match="--collection"):
        Engine.open(tmp_path / "c", encoder=FakeEncoder(fingerprint="other"))


def test_search_equals_brute_force(photos: Path, tmp_path: Path) -> None:
    collection, encoder = tmp_path / "c", FakeEncoder()
    build([photos], collection=collection, encoder=encoder)
    catalog = Catalog.open(Collection(collection))
    ids, vectors = next(catalog.embeddings("fake"))
    catalog.close()
    with Engine.open(collection, encoder=encoder) as engine:
        for text in ("one", "two", "three"):
            scores = vectors @ encoder.encode_texts([text])[0]
            order = np.argsort(-scores)[:10]
            hits = engine.search(text, k=10)
            assert [hit.id for hit in hits] == ids[order].tolist()
            assert np.allclose([hit.score for hit in hits], scores[order], atol=1e-6)
