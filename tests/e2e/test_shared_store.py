"""The installed command on a collection in PostgreSQL: alone, beside others, and interrupted."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer import build
from indexer.build_collection import Progress
from indexer.testing import FakeEncoder
from search import Engine
from support.command import COMMAND, REPOSITORY, Run, json_lines
from support.postgres import PASSWORD, Server
from support.servers import serving

QUERIES = ("a cat", "a rocket", "the moon in the sky", "a cup of coffee")


@pytest.fixture(scope="module")
def database(postgres: Server) -> str:
    return postgres.database("commands")


@pytest.fixture
def url(postgres: Server, database: str, tmp_path: Path) -> str:
    """A collection that is not there yet, in a database with others."""
    schema = f"c{abs(hash(tmp_path))}"
    return f"{database}?schema={schema}"


@pytest.fixture
def shared(clipdex: Run, url: str, tmp_path: Path) -> Run:
    """The command on that collection."""

    def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[bytes]:
        env = {"CLIPDEX_COLLECTION": url, "XDG_DATA_HOME": str(tmp_path / "data")}
        return clipdex(*arguments, **{"env": env, **options})

    return run


def drawn(folder: Path, count: int, *, first: int = 0) -> Path:
    """A folder of small images, no two alike; those of one number are equal everywhere."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        pixels = np.random.default_rng(number).integers(0, 255, (12, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((96, 96)).save(folder / f"{number:04}.png")
    return folder


def rows(postgres: Server, url: str, what: str) -> int:
    schema = url.rpartition("=")[2]
    (count,) = postgres.sql(f"SET search_path = {schema}; SELECT count(*) FROM {what}", "commands")
    return int(count)


def commits(postgres: Server) -> bool:
    """Whether some program is in the middle of a transaction."""
    (count,) = postgres.sql(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND state <> 'idle'",
        "commands",
    )
    return int(count) > 0


def test_answers_are_those_of_sqlite(
    shared: Run, clipdex: Run, photos_indexed: tuple[Path, Path], url: str, tmp_path: Path
) -> None:
    photos, collection = photos_indexed
    local = {"env": {"CLIPDEX_COLLECTION": str(collection)}}
    (report,) = json_lines(shared("index", photos, "--json"))
    assert report["indexed"] == 6
    (again,) = json_lines(shared("index", photos, "--json"))
    assert (again["indexed"], again["unchanged"]) == (0, 6)

    def same(*arguments: object) -> None:
        one, other = (
            json_lines(run(*arguments, "--json", **options))
            for run, options in ((shared, {}), (clipdex, local))
        )
        assert one, arguments
        for ours, theirs in zip(one, other, strict=True):
            for hit in (ours, theirs):
                hit.pop("id", None)
            for number in ("score", "relevance"):
                if number in ours:
                    assert ours.pop(number) == pytest.approx(theirs.pop(number), abs=1e-4)
            assert ours == theirs

    for query in QUERIES:
        same("search", query)
    same("search", "a cat", "--not", "coffee", "-k", "3", "--offset", "1")
    same("search", "a cat", "--in", photos, "--since", "2001")
    same("search", "--label", "cat>0.5")
    same("search", "a cat", "--label", "cat>0.5", "--exclude", "*.jpg")
    same("search", "--image", photos / "coffee.png", "a rocket")
    same("similar", photos / "chelsea.png")
    same("label", "--labels", "cat,rocket,coffee")
    (status,) = json_lines(shared("status", "--json"))
    (expected,) = json_lines(clipdex("status", "--json", **local))
    assert status.pop("collection") == url
    assert {**expected, "collection": ""} == {**status, "collection": ""}
    assert status["index"] == {"kind": "flat", "recall_at_10": 1.0}
    assert b"flat, exact" in shared("status").stdout


def test_images_are_tagged_forgotten_and_indexed_again(
    shared: Run, photos_indexed: tuple[Path, Path], tmp_path: Path, postgres: Server, url: str
) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(photos_indexed[0], photos)
    shared("index", photos)
    first = {hit["path"]: hit["id"] for hit in json_lines(shared("search", "a cat", "--json"))}
    shared("tags", "add", "mine", photos / "moon.png")
    assert [hit["path"] for hit in json_lines(shared("search", "--label", "mine>0.9", "--json"))][
        :1
    ] == [str(photos / "moon.png")]
    assert b"1 files forgotten" in shared("forget", photos / "moon.png").stdout
    left = {hit["path"] for hit in json_lines(shared("search", "the moon", "--json"))}
    assert left == set(first) - {str(photos / "moon.png")}
    assert rows(postgres, url, "embeddings") == rows(postgres, url, "contents") == 5
    (report,) = json_lines(shared("index", photos, "--json"))
    assert (report["indexed"], report["unchanged"]) == (0, 5)
    (report,) = json_lines(shared("index", photos / "moon.png", "--json"))
    assert report["indexed"] == 1
    again = {hit["path"]: hit["id"] for hit in json_lines(shared("search", "a cat", "--json"))}
    assert again.keys() == first.keys()
    assert again[str(photos / "moon.png")] > max(first.values())
    assert b"mine" in shared("tags", "list").stdout
    (photos / "page.png").unlink()
    (report,) = json_lines(shared("index", photos, "--json", "--prune"))
    assert report["removed"] == 1
    assert rows(postgres, url, "embeddings") == 5


def test_errors_are_one_line(shared: Run, postgres: Server, database: str, url: str) -> None:
    def said(*arguments: object, at: str) -> str:
        lines = shared(*arguments, "--collection", at, code=1).stderr.decode().splitlines()
        assert len(lines) == 1, lines
        assert lines[0].startswith("error: ")
        return lines[0]

    assert "nothing was indexed yet" in said("search", "a cat", at=url)
    assert "nothing was indexed yet" in said("forget", "/photos", at=url)
    assert "nothing was indexed yet" in said("status", at=url)
    assert "database that is not there" in said("status", at=postgres.url("nowhere"))
    wrong = said("search", "a cat", at=postgres.url("postgres", "secured", "not-that"))
    assert "does not let this user in" in wrong
    assert "not-that" not in wrong
    assert "cannot be a collection's schema" in said("status", at=f"{database}?schema=A")
    assert "cannot be reached" in said("index", ".", at="postgresql://127.0.0.1:1/photos")


def test_password_is_not_printed(shared: Run, postgres: Server, tmp_path: Path) -> None:
    postgres.database("owned")
    postgres.sql("ALTER DATABASE owned OWNER TO secured")
    bare = postgres.url("owned", "secured")
    secret = bare.replace(
        "secured@", f"secured:{PASSWORD.replace('@', '%40').replace('/', '%2F')}@"
    )
    photos = drawn(tmp_path / "photos", 2)
    for arguments in (["index", photos], ["status"], ["status", "--json"], ["search", "red"]):
        done = shared(*arguments, "--collection", secret)
        printed = done.stdout + done.stderr
        for part in (PASSWORD, "p%40ss", "ss/word", "%2Fword"):
            assert part.encode() not in printed
    assert b"secured:***@" in shared("status", "--collection", secret).stdout
    env = {"PGPASSWORD": PASSWORD, "CLIPDEX_COLLECTION": bare}
    assert f"collection  {bare}".encode() in shared("status", env=env).stdout


def test_documented_roles_suffice(
    shared: Run, postgres: Server, photos_indexed: tuple[Path, Path]
) -> None:
    photos, collection = photos_indexed
    text = (REPOSITORY / "docs" / "scaling.md").read_text(encoding="utf-8")
    (setup,) = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    postgres.database("roles", extension=False)
    postgres.sql(setup, "roles")
    postgres.sql("CREATE ROLE bob LOGIN IN ROLE clipdex_writer", "roles")
    postgres.sql("ALTER ROLE bob SET role = 'clipdex_writer'", "roles")
    ann, bob, web = (
        ("--collection", postgres.url("roles", name)) for name in ("ann", "bob", "web")
    )
    shared("merge", collection, "--into", ann[1])
    (report,) = json_lines(shared("index", photos, "--json", *bob))
    assert report["unchanged"] == 6
    for one in (ann, bob, web):
        (first, *_) = json_lines(shared("search", "a cat", "--json", *one))
        assert first["path"].endswith("chelsea.png")
    shared("status", *web)
    shared("label", "--labels", "cat,dog", *web)
    for arguments in (
        ["index", photos],
        ["forget", photos],
        ["tags", "add", "x", photos / "moon.png"],
    ):
        refused = shared(*arguments, *web, code=1).stderr.decode()
        assert refused.count("\n") == 1
        assert "may not do that" in refused
    assert b"6 files forgotten" in shared("forget", photos, *bob).stdout
    assert json_lines(shared("search", "a cat", "--json", *web)) == []


def test_collection_in_a_folder_loads_no_psycopg(
    clipdex: Run, photos_indexed: tuple[Path, Path]
) -> None:
    code = (
        "import sys; from search import Engine\n"
        f"with Engine.open({str(photos_indexed[1])!r}) as engine: engine.search('a cat')\n"
        "assert not [name for name in sys.modules if name.startswith('psycopg')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY, timeout=120)


def started(url: str, folder: Path, tmp_path: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [COMMAND, "index", folder, "--collection", url, "--batch-size", "4", "--workers", "1",
         "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "XDG_DATA_HOME": str(tmp_path / "data")},
    )  # fmt: skip


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def whole(postgres: Server, url: str, count: int) -> None:
    """Check that nothing is lost and nothing is there twice."""
    assert rows(postgres, url, "files WHERE content IS NOT NULL") == count
    assert rows(postgres, url, "contents") == rows(postgres, url, "embeddings") == count
    assert rows(postgres, url, "contents WHERE paths <> 1") == 0
    assert rows(postgres, url, "files WHERE reason IS NOT NULL") == 0


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Ninety images in three folders."""
    for number, name in enumerate(("a", "b", "c")):
        drawn(tmp_path / "photos" / name, 30, first=30 * number)
    return tmp_path / "photos"


def test_two_writers_index_overlapping_folders(
    shared: Run, postgres: Server, url: str, photos: Path, tmp_path: Path
) -> None:
    one = started(url, photos, tmp_path)
    until(lambda: exists(postgres, url) and rows(postgres, url, "roots") == 1)
    other = started(url, photos / "b", tmp_path)
    both = [process.communicate(timeout=200) for process in (one, other)]
    assert [one.returncode, other.returncode] == [0, 0], both
    whole(postgres, url, 90)
    for name in ("", "b"):  # whoever comes first, all is found afterwards
        (again,) = json_lines(shared("index", photos / name, "--json"))
        assert again["unchanged"] == (30 if name else 90)
        assert again["indexed"] == again["removed"] == again["failed"] == 0


def test_folder_above_waits_for_one_that_is_indexed(
    shared: Run, postgres: Server, url: str, photos: Path, tmp_path: Path
) -> None:
    drawn(photos / "b", 150, first=1000)  # enough to be stopped in the middle
    inner = started(url, photos / "b", tmp_path)
    until(lambda: exists(postgres, url) and rows(postgres, url, "contents") > 0)
    for _ in range(100):
        inner.send_signal(signal.SIGSTOP)
        if not commits(postgres):
            break
        inner.send_signal(signal.SIGCONT)  # others would wait for what it holds
        time.sleep(0.01)
    assert rows(postgres, url, "contents") < 180
    refused = shared("index", photos, code=1).stderr.decode()
    assert refused.count("\n") == 1
    assert f"another `clipdex index` is reading {photos / 'b'} into" in refused
    refused = shared("forget", photos / "b" / "0030.png", code=1).stderr.decode()
    assert "Wait until it ends" in refused
    json_lines(shared("search", "red", "--json"))  # nobody who searches waits
    inner.send_signal(signal.SIGCONT)
    inner.communicate(timeout=120)
    assert inner.returncode == 0
    json_lines(shared("index", photos, "--json"))
    whole(postgres, url, 240)
    assert rows(postgres, url, "roots") == 1


def test_writer_that_is_killed_loses_nothing(
    shared: Run, postgres: Server, url: str, photos: Path, tmp_path: Path
) -> None:
    one = started(url, photos, tmp_path)
    until(lambda: exists(postgres, url) and rows(postgres, url, "contents") >= 12)
    other = started(url, photos / "b", tmp_path)
    until(lambda: rows(postgres, url, "contents") >= 20)
    one.kill()
    one.communicate(timeout=60)
    other.communicate(timeout=200)
    assert other.returncode == 0
    known = rows(postgres, url, "contents")
    assert 20 <= known == rows(postgres, url, "embeddings")
    (report,) = json_lines(shared("index", photos, "--json"))
    assert report["indexed"] == 90 - known
    assert report["unchanged"] == known
    whole(postgres, url, 90)


def test_interrupted_writer_keeps_what_it_did(
    shared: Run, postgres: Server, url: str, photos: Path, tmp_path: Path
) -> None:
    run = started(url, photos, tmp_path)
    until(lambda: exists(postgres, url) and rows(postgres, url, "contents") >= 12)
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 130, said
    known = rows(postgres, url, "contents")
    (report,) = json_lines(shared("index", photos, "--json"))
    assert (report["indexed"], report["unchanged"]) == (90 - known, known)
    whole(postgres, url, 90)


def test_server_that_is_killed_loses_nothing(
    shared: Run, postgres: Server, url: str, photos: Path, tmp_path: Path
) -> None:
    for at in (10, 40):
        run = started(url, photos, tmp_path)
        until(lambda at=at: exists(postgres, url) and rows(postgres, url, "contents") >= at)
        postgres.kill()
        _, said = run.communicate(timeout=200)
        postgres.start()
        assert run.returncode == 1
        assert said.count(b"\n") == 1, said
        assert b"error: " in said
        assert b"run the same command again" in said or b"cannot be reached" in said
        known = rows(postgres, url, "contents")
        assert known == rows(postgres, url, "embeddings")
        assert known == rows(postgres, url, "files WHERE content IS NOT NULL") >= at
    (report,) = json_lines(shared("index", photos, "--json"))
    assert (report["indexed"], report["unchanged"]) == (90 - known, known)
    whole(postgres, url, 90)


def exists(postgres: Server, url: str) -> bool:
    schema = url.rpartition("=")[2]
    return bool(
        postgres.sql(f"SELECT 1 FROM pg_tables WHERE schemaname = '{schema}' "
                     "AND tablename = 'roots'", "commands")
    )  # fmt: skip


def test_model_is_changed_while_searches_go_on(
    postgres: Server, url: str, photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    old, new = FakeEncoder(fingerprint="old", dim=16), FakeEncoder(fingerprint="new", dim=24)
    build(photos / "a", collection=url, encoder=old)
    with Engine.open(url, encoder=old) as engine:
        seen = []

        def look(progress: Progress) -> None:
            # Only the thread of the run calls this; what is asked is another connection.
            seen.append((engine.catalog.active_model(), len(engine.search("red", k=50))))

        build(photos / "a", collection=url, encoder=new, on_progress=look)
        models = {model.fingerprint for model, _ in seen if model is not None}
        assert models == {"old"}
        assert {count for _, count in seen} == {30}
    with Engine.open(url, encoder=new) as engine:
        assert len(engine.search("red", k=50)) == 30
        assert [(model.fingerprint, state) for model, state, _ in engine.catalog.models()] == [
            ("new", "active"), ("old", "former")
        ]  # fmt: skip
    build(photos / "a", collection=url, encoder=new, prune_vanished=True)
    assert rows(postgres, url, "embeddings") == rows(postgres, url, "contents") == 30


def test_server_answers_and_survives_the_database(
    shared: Run, photos_indexed: tuple[Path, Path], postgres: Server, url: str, tmp_path: Path
) -> None:
    photos, _ = photos_indexed
    shared("index", photos)
    options = ("--allow-index", photos, "--expose-paths")
    with serving(url, *options, XDG_DATA_HOME=str(tmp_path / "data")) as server:  # type: ignore[arg-type]
        found = server.get("/v1/search", params={"q": "a cat"}).json()
        assert found["hits"][0]["path"].endswith("chelsea.png")
        assert found["total"] == 6
        number = found["hits"][0]["id"]
        assert server.get(f"/v1/images/{number}/similar").status_code == 200
        assert server.get(found["hits"][0]["thumbnail"]).status_code == 200
        assert server.get("/v1/status").json()["index"]["kind"] == "flat"
        job = server.post("/v1/index", json={"paths": [str(photos)]}).json()
        until(lambda: server.get(f"/v1/jobs/{job['id']}").json()["state"] == "done")
        postgres.kill()
        away = server.get("/v1/search", params={"q": "a rocket"})
        assert 400 <= away.status_code < 600
        assert away.headers["content-type"] == "application/problem+json"
        postgres.start()
        until(lambda: server.get("/v1/search", params={"q": "a rocket"}).status_code == 200)
        drawn(tmp_path / "more", 3)
        shared("index", tmp_path / "more")
        until(lambda: server.get("/v1/search", params={"q": "noise"}).json()["total"] == 9)
        opened = postgres.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'clipdex'"
        )
        assert 1 <= int(opened[0]) <= 8
