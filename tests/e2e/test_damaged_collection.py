"""Collections that were damaged: one line says so, and no command answers otherwise in silence."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from indexer import build
from indexer.testing import FakeEncoder
from search import Engine
from support.command import Run, json_lines
from support.images import make_photo
from support.servers import serving

CATALOG = "catalogue.sqlite3"
HEADER = 118  # bytes before the vectors
DIM = 512


@pytest.fixture
def photos(clipdex: Run, tmp_path: Path) -> Path:
    """Thirty indexed photos, two of them with the same bytes."""
    folder = tmp_path / "photos"
    for number in range(30):
        make_photo(folder / f"{number:02}.png", number)
    shutil.copy(folder / "00.png", folder / "copy.png")
    clipdex("index", folder)
    return folder


def zeros(data: bytearray) -> None:
    data[HEADER + 1000 : HEADER + 20_000] = bytes(19_000)


def one_vector_of_zeros(data: bytearray) -> None:
    data[HEADER : HEADER + 2 * DIM] = bytes(2 * DIM)


def random_bytes(data: bytearray) -> None:
    data[HEADER + 5000 : HEADER + 9000] = np.random.default_rng(0).bytes(4000)


def changed_ids(data: bytearray) -> None:
    data[-16:-8], data[-8:] = data[-8:], data[-16:-8]


def wrong_count(data: bytearray) -> None:
    data[8:16] = (10**9).to_bytes(8, "little")


def wrong_length_of_codes(data: bytearray) -> None:
    data[HEADER - 8 : HEADER] = (3 * 10**9).to_bytes(8, "little")


def shorter(data: bytearray) -> None:
    del data[len(data) // 2 :]


def longer(data: bytearray) -> None:
    data += b"more"


def emptied(data: bytearray) -> None:
    data.clear()


DAMAGES = [zeros, one_vector_of_zeros, random_bytes, changed_ids, wrong_count,
           wrong_length_of_codes, shorter, longer, emptied]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("command", ["search", "status", "index", "duplicates"])
def test_damaged_vectors_are_written_again(
    command: str, damage: Callable[[bytearray], None], clipdex: Run, photos: Path, tmp_path: Path
) -> None:
    arguments = {
        "search": ("search", "colours", "-k", 40, "--json"),
        "status": ("status", "--json"),
        "index": ("index", photos, "--json"),
        "duplicates": ("duplicates", "--json"),
    }[command]
    question = ("search", "colours", "-k", 40, "--json")
    expected = clipdex(*question).stdout
    before = clipdex(*arguments).stdout
    (vectors,) = (tmp_path / "collection" / "vectors").iterdir()
    whole = vectors.read_bytes()
    data = bytearray(whole)
    damage(data)
    vectors.write_bytes(data)
    done = clipdex(*arguments)
    assert b"was written again from the catalog" in done.stderr
    assert done.stderr.count(b"\n") == 1
    if command != "index":
        assert done.stdout == before
    assert vectors.read_bytes() == whole
    again = clipdex(*question)
    assert (again.stdout, again.stderr) == (expected, b"")


def test_vectors_that_are_damaged_while_open_are_noticed(tmp_path: Path) -> None:
    for number in range(20):
        make_photo(tmp_path / "photos" / f"{number}.png", number)
    build([tmp_path / "photos"], collection=tmp_path / "c", encoder=FakeEncoder())
    (vectors,) = (tmp_path / "c" / "vectors").iterdir()
    with Engine.open(tmp_path / "c", encoder=FakeEncoder()) as engine:
        expected = [(hit.id, round(hit.score, 6)) for hit in engine.search("x", k=20)]
        with vectors.open("r+b") as file:
            file.seek(HEADER)
            file.write(bytes(200))
        assert [(hit.id, round(hit.score, 6)) for hit in engine.search("x", k=20)] == expected
        # And where the file says nothing: what is in memory is compared with the catalog.
        part = engine.index.parts[0]
        part.halves = part.halves[::-1].copy()
        assert [(hit.id, round(hit.score, 6)) for hit in engine.search("x", k=20)] == expected


COMMANDS = [
    ("search", "colours"), ("similar", "photos/00.png"), ("status",), ("duplicates",),
    ("label", "--labels", "a,b"), ("label", "photos/00.png", "--labels", "a,b"),
    ("tags", "list"), ("tags", "export", "--csv"), ("tags", "add", "x", "photos/00.png"),
    ("forget", "photos/00.png"), ("index", "photos"), ("migrate",),
    ("search", "--label", "cat>0.5"), ("adapt", "train", "x"),
]  # fmt: skip


def broken(data: bytes, how: str) -> bytes:
    draw = np.random.default_rng(1)
    if how == "random":
        return draw.bytes(len(data))
    if how == "zeros":
        return bytes(len(data))
    if how == "cut":
        return data[: len(data) // 3]
    if how == "empty":
        return b""
    return data[:4096] + b"\xff" * (len(data) - 4096)


@pytest.mark.parametrize("how", ["random", "zeros", "cut", "empty", "pages"])
def test_each_command_says_that_the_catalog_is_damaged(
    how: str, clipdex: Run, photos: Path, tmp_path: Path
) -> None:
    catalog = tmp_path / "collection" / CATALOG
    catalog.write_bytes(broken(catalog.read_bytes(), how))
    for command in COMMANDS:
        done = clipdex(*command, code=1)
        assert done.stdout == b"", command
        assert b"damaged" in done.stderr, (command, done.stderr)
        assert b"remove the folder" not in done.stderr
        assert done.stderr.count(b"\n") == 1, (command, done.stderr)
        assert (b"has 0 bytes" in done.stderr) == (how == "empty")


ROWS = {
    "a path that leads out": "UPDATE files SET path = CAST('../../etc/passwd' || id AS BLOB)",
    "an absolute path": "UPDATE files SET path = CAST('/etc/passwd' || id AS BLOB)",
    "a path with NUL": "UPDATE files SET path = CAST(id || char(0) || 'a' AS BLOB)",
    "text for a path": "UPDATE files SET path = 'photo-' || id",
    "a number for a path": "UPDATE files SET path = id",
    "text for a size": "UPDATE contents SET width = 'wide'",
    "a root that is not a folder": "UPDATE roots SET path = CAST('photos' AS BLOB)",
    "a short vector": "UPDATE embeddings SET vector = x'003c'",
    "an odd vector": "UPDATE embeddings SET vector = x'003c00'",
    "vectors of zeros": "UPDATE embeddings SET vector = zeroblob(1024)",
    "text for a vector": "UPDATE embeddings SET vector = 'vector'",
    "vectors that are no numbers": "UPDATE embeddings SET vector = CAST(replace(hex(zeroblob(512)),"
    " '00', char(255) || '~') AS BLOB)",
    "a capture time before all calendars": "UPDATE contents SET taken_at = -9000000000000000000",
    "an offset of days": "UPDATE contents SET taken_at = 1, taken_offset = 100000",
}


@pytest.mark.parametrize("damage", ROWS)
def test_rows_that_clipdex_never_wrote_are_damage(
    damage: str, clipdex: Run, photos: Path, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "collection" / CATALOG)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(ROWS[damage])
    shutil.rmtree(tmp_path / "collection" / "vectors")  # derived: the catalog has to answer
    done = clipdex("search", "colours", code=1)
    assert b"the catalog" in done.stderr
    assert b"damaged" in done.stderr
    assert b"fault of clipdex" not in done.stderr
    assert done.stderr.count(b"\n") <= 2, done.stderr


def test_a_short_gray_thumbnail_is_damage(clipdex: Run, photos: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "collection" / CATALOG)) as connection, connection:
        connection.execute("UPDATE contents SET sketch = x'00' WHERE id = 3")
    done = clipdex("duplicates", code=1)
    assert b"the gray thumbnail of image 3" in done.stderr


def test_a_collection_whose_name_is_not_text(clipdex: Run, photos: Path, tmp_path: Path) -> None:
    place = os.fsencode(tmp_path) + b"/bad-\xff-name"
    done = clipdex("index", photos, "--collection", place)
    assert done.stderr == b""
    (hit,) = json_lines(clipdex("search", "colours", "-k", 1, "--json", "--collection", place))
    assert hit["path"].endswith(".png")


def test_a_name_that_is_too_long_is_not_a_full_disk(
    clipdex: Run, photos: Path, tmp_path: Path
) -> None:
    place = tmp_path / ("d" * 200) / ("e" * 200) / ("f" * 100)
    done = clipdex("index", photos, "--collection", place, code=1)
    assert b"is too long for a catalog" in done.stderr, done.stderr
    assert b"full" not in done.stderr


@pytest.mark.parametrize("restarted", [True, False])
def test_thumbnails_of_another_collection_are_not_shown(
    restarted: bool, clipdex: Run, tmp_path: Path
) -> None:
    collection = tmp_path / "collection"
    for name, seeds in (("old", range(3)), ("new", range(10, 13))):
        for number, seed in enumerate(seeds):
            make_photo(tmp_path / name / f"{number}.png", seed)
    clipdex("index", tmp_path / "old")

    def shown(get: Callable[..., object], hits: list[dict[str, object]]) -> list[object]:
        return [get(hit[kind]) for hit in hits for kind in ("thumbnail", "file")]

    def hits_of(server) -> list[dict[str, object]]:  # type: ignore[no-untyped-def]
        answer = server.get("/v1/search", params={"q": "colours"}).json()
        return sorted(answer["hits"], key=lambda hit: hit["id"])

    def replace_collection() -> None:
        for path in (*collection.glob(f"{CATALOG}*"),):
            path.unlink()
        clipdex("index", tmp_path / "new")

    def compare(server, old) -> None:  # type: ignore[no-untyped-def]
        hits = hits_of(server)
        assert [hit["id"] for hit in hits] == [1, 2, 3]
        for before, hit in zip(old, hits, strict=True):
            for kind in ("thumbnail", "file"):
                assert hit[kind] != before[kind]
                new = server.get(hit[kind])
                assert new.content != before[kind, "bytes"]
                assert "immutable" in new.headers["cache-control"]
                # The URL of the old picture is not the new one's for ever.
                stale = server.get(before[kind], headers={"If-None-Match": before[kind, "etag"]})
                assert stale.status_code == 200
                assert "immutable" not in stale.headers["cache-control"]

    def remember(server) -> list[dict[object, object]]:  # type: ignore[no-untyped-def]
        old = hits_of(server)
        for hit in old:
            for kind in ("thumbnail", "file"):
                answer = server.get(hit[kind])
                hit[kind, "bytes"] = answer.content  # type: ignore[index]
                hit[kind, "etag"] = answer.headers["etag"]  # type: ignore[index]
        return old  # type: ignore[return-value]

    with serving(collection) as server:
        old = remember(server)
        replace_collection()
        if not restarted:
            compare(server, old)
    if restarted:
        with serving(collection) as server:
            compare(server, old)
            assert len(list(collection.glob("thumbnails/*/*.webp"))) == 3


def test_a_damaged_thumbnail_is_made_again(clipdex: Run, photos: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "collection") as server:
        url = server.get("/v1/images/1").json()["thumbnail"]
        whole = server.get(url).content
        (kept,) = (tmp_path / "collection").glob("thumbnails/*/*.webp")
        for damaged in (bytes(100), kept.read_bytes()[:-40] + bytes(40), b"", b"x"):
            kept.write_bytes(damaged)
            assert server.get(url).content == whole


def test_messages_are_for_programs_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.notices._listeners", [])
    make_photo(tmp_path / "photos" / "a.png", 1)
    build([tmp_path / "photos"], collection=tmp_path / "c", encoder=FakeEncoder())
    (vectors,) = (tmp_path / "c" / "vectors").iterdir()
    vectors.write_bytes(b"")
    with Engine.open(tmp_path / "c", encoder=FakeEncoder()) as engine:
        assert len(engine.search("x")) == 1
    assert "was written again" in caplog.text
    assert json.dumps(caplog.messages)
