"""Collections of older formats: what is said of them, and how they become collections of this one.

The oldest are made from the golden one (format 3) by taking away what later formats added.
"""

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from indexer.store.schema import MIGRATIONS
from support.command import REPOSITORY, Run, json_lines

GOLDEN = REPOSITORY / "tests" / "golden" / "collection"
CATALOG = "catalogue.sqlite3"
# What leads back from each format to the one before.
BACK = {
    3: "DROP TABLE labels; PRAGMA user_version = 2;",
    2: "ALTER TABLE contents DROP COLUMN taken_at; ALTER TABLE contents DROP COLUMN taken_offset; "
    "ALTER TABLE contents DROP COLUMN sketch; ALTER TABLE models DROP COLUMN pending; "
    "PRAGMA user_version = 1;",
}


def make(tmp_path: Path, version: int) -> Path:
    """A collection of an older format, whose photos are on a drive that is unplugged."""
    folder = tmp_path / "collection"
    shutil.copytree(GOLDEN / "index", folder)
    with closing(sqlite3.connect(folder / CATALOG)) as connection:
        for number in range(3, version, -1):
            connection.executescript(BACK[number])
        connection.executescript(f"UPDATE roots SET path = CAST('{tmp_path}/away' AS BLOB)")
        if version == 4:
            connection.executescript(f"{MIGRATIONS[3]}; PRAGMA user_version = 4")
    return folder


def format_of(catalog: Path) -> int:
    with closing(sqlite3.connect(f"file:{catalog}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_a_collection_is_migrated_without_its_photos(
    version: int, clipdex: Run, tmp_path: Path
) -> None:
    folder = make(tmp_path, version)
    question = ("search", "a cat", "--json")
    if version < 3:
        done = clipdex(*question, code=1)
        assert f"clipdex migrate --collection {folder}".encode() in done.stderr
        assert format_of(folder / CATALOG) == version
    else:
        before = json_lines(clipdex(*question))
    done = clipdex("migrate")
    assert f"has the format {len(MIGRATIONS)} now".encode() in done.stdout
    assert f"{CATALOG}.format-{version}".encode() in done.stderr
    assert format_of(folder / CATALOG) == len(MIGRATIONS)
    assert format_of(folder / f"{CATALOG}.format-{version}") == version
    done = clipdex(*question)
    assert done.stderr == b""
    hits = json_lines(done)
    assert len(hits) == 4
    if version >= 3:
        assert hits == before
    assert b"already" in clipdex("migrate").stdout
    # The copy is what an older clipdex, or this one, can go on with.
    for path in folder.glob(f"{CATALOG}*"):
        if path.name != f"{CATALOG}.format-{version}":
            path.unlink()
    (folder / f"{CATALOG}.format-{version}").rename(folder / CATALOG)
    clipdex("migrate")
    assert json_lines(clipdex(*question)) == hits


def test_any_command_that_writes_migrates_and_copies(clipdex: Run, tmp_path: Path) -> None:
    folder = make(tmp_path, 2)
    (tmp_path / "away").mkdir()
    done = clipdex("tags", "remove", "nothing")
    assert b"was brought from format 2" in done.stderr
    assert format_of(folder / f"{CATALOG}.format-2") == 2
    assert len(json_lines(clipdex("search", "a cat", "--json"))) == 4


def test_what_is_forgotten_is_not_in_the_copy(clipdex: Run, tmp_path: Path) -> None:
    folder = make(tmp_path, 3)
    clipdex("migrate")
    assert list(folder.glob(f"{CATALOG}.format-*"))
    clipdex("forget", tmp_path / "away" / "rocket.jpg")
    assert not list(folder.glob(f"{CATALOG}.format-*"))


def test_nothing_is_migrated_without_room_for_the_copy(clipdex: Run, tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    size = (GOLDEN / "index" / CATALOG).stat().st_size // 1024 + 150
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", place], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system here: {mounted.stderr.decode().strip()}")
    try:
        shutil.copytree(GOLDEN / "index", place / "c")
        done = clipdex("migrate", "--collection", place / "c", code=1)
        assert b"Nothing was changed: free some space" in done.stderr, done.stderr
        assert done.stderr.count(b"\n") == 1
        assert format_of(place / "c" / CATALOG) == 3
        assert not list((place / "c").glob("*.copying"))
    finally:
        subprocess.run(["umount", place], check=True)


def test_there_is_nothing_to_migrate(clipdex: Run, tmp_path: Path) -> None:
    assert b"nothing was indexed yet" in clipdex("migrate", code=1).stderr
    assert not os.path.exists(tmp_path / "collection")
