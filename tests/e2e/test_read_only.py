"""Whoever may read a collection and not write it sees what it holds now, or is told otherwise."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from support.command import COMMAND, REPOSITORY, Run, json_lines
from support.images import make_photo
from support.other_user import (
    NOBODY,
    mounted_read_only,
    readable_folder,
    require_other_user,
    surroundings,
)
from support.servers import serving
from support.waiting import wait_until

# Indexes a folder and dies with what it wrote in the log, as by `kill -9`.
KILLED = """
import os, sys
from pathlib import Path
from indexer import build
from indexer.store.catalog import Catalog
from indexer.store.collection import Collection
folder, collection = sys.argv[1:]
reader = Catalog.open(Collection(Path(collection)))
reader.counts()  # the log is not emptied while somebody reads
build([folder], collection=collection)
os.kill(os.getpid(), 9)
"""


def photos(folder: Path, numbers: range) -> Path:
    for number in numbers:
        make_photo(folder / f"{number}.png", number)
    return folder


def index(collection: Path, *folders: object) -> None:
    command = [COMMAND, "index", *map(str, folders), "--collection", str(collection)]
    subprocess.run(command, check=True, capture_output=True)


def index_and_be_killed(collection: Path, folder: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", KILLED, folder, collection],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert (collection / "catalogue.sqlite3-wal").stat().st_size > 0


@pytest.mark.parametrize("lost", [(), ("-shm",)], ids=["whole", "without shared memory"])
def test_a_log_that_was_left_is_read(clipdex: Run, lost: tuple[str, ...]) -> None:
    require_other_user()
    with readable_folder() as folder:
        collection = folder / "collection"
        index(collection, photos(folder / "a", range(3)))
        index_and_be_killed(collection, photos(folder / "b", range(3, 7)))
        for suffix in lost:
            (collection / f"catalogue.sqlite3{suffix}").unlink()
        before = {path.name for path in collection.iterdir()}
        options = {"prefix": NOBODY, "env": surroundings(folder), "cwd": folder}
        done = clipdex("status", "--json", "--collection", collection, **options)
        (status,) = json_lines(done)
        assert status["images"] == 7
        assert len(status["roots"]) == 2
        assert (b"a copy of the catalog is read" in done.stderr) == bool(lost)
        found = clipdex("search", "colours", "--json", "--collection", collection, **options)
        assert len(json_lines(found)) == 7
        assert {path.name for path in collection.iterdir()} == before
        assert not list(Path("/tmp").glob("clipdex-*/catalogue.sqlite3"))


def test_a_log_that_cannot_be_read_is_an_error(clipdex: Run) -> None:
    require_other_user()
    with readable_folder() as folder:
        collection = folder / "collection"
        index(collection, photos(folder / "a", range(3)))
        index_and_be_killed(collection, photos(folder / "b", range(3, 7)))
        (collection / "catalogue.sqlite3-shm").unlink()
        (collection / "catalogue.sqlite3-wal").chmod(0o600)
        done = clipdex("status", "--collection", collection, code=1, prefix=NOBODY,
                       env=surroundings(folder), cwd=folder)  # fmt: skip
        assert b"cannot read the catalog" in done.stderr
        assert done.stderr.count(b"\n") == 1


def total(client: httpx.Client) -> int:
    answer = client.get("/v1/search", params={"q": "colours"})
    assert answer.status_code == 200, answer.text
    return int(answer.json()["total"])


def follows_an_owner(client: httpx.Client, collection: Path, folder: Path) -> None:
    """Index, prune and index as the owner; the server shows each state."""
    assert total(client) == 3
    for count in (5, 8):
        index(collection, photos(folder / "a", range(count)))
        wait_until(lambda count=count: total(client) == count)
    gone = client.get("/v1/search", params={"q": "colours", "k": 1}).json()["hits"][0]
    name = Path(gone["path"]).name
    (folder / "a" / name).unlink()
    index(collection, folder / "a", "--prune")
    wait_until(lambda: total(client) == 7)
    assert client.get(f"/v1/images/{gone['id']}").status_code == 404
    assert client.get(gone["thumbnail"]).status_code == 404


def test_a_server_of_another_user_follows_the_owner() -> None:
    require_other_user()
    with readable_folder() as folder:
        collection = folder / "collection"
        index(collection, photos(folder / "a", range(3)))
        server = serving(collection, prefix=NOBODY, **surroundings(folder))
        with server as served, served.client() as client:
            follows_an_owner(client, collection, folder)


def test_a_server_on_a_read_only_mount_follows_the_owner() -> None:
    require_other_user()
    with readable_folder() as folder:
        collection = folder / "collection"
        index(collection, photos(folder / "a", range(3)))
        with (
            mounted_read_only(collection, folder / "mounted") as mounted,
            serving(mounted, **surroundings(folder)) as served,
            served.client() as client,
        ):
            follows_an_owner(client, collection, folder)


def test_a_reader_of_damaged_vectors_answers_and_says_so(clipdex: Run) -> None:
    require_other_user()
    with readable_folder() as folder:
        collection = folder / "collection"
        index(collection, photos(folder / "a", range(5)))
        options = {"prefix": NOBODY, "env": surroundings(folder), "cwd": folder}
        question = ("search", "colours", "--json", "--collection", collection)
        expected = clipdex(*question, **options).stdout
        (vectors,) = (collection / "vectors").iterdir()
        damaged = vectors.read_bytes()[:200] + bytes(vectors.stat().st_size - 200)
        vectors.write_bytes(damaged)
        done = clipdex(*question, **options)
        assert done.stdout == expected
        assert b"answers come from the catalog" in done.stderr
        assert vectors.read_bytes() == damaged
