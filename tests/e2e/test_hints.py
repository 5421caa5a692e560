"""Hints: how to get a better model, and queries in a language that the model does not know."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from indexer import build
from indexer.testing import FakeEncoder
from search import Engine, SearchRequest
from search.hints import better_model
from support.command import Run
from support.images import make_photo
from support.servers import Served, serving
from support.terminal import in_terminal

BETTER = b"pocket is small: `clipdex models pull recommended`"
GERMAN = b"this looks like German, which this model does not know"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make_photo(tmp_path / "photos" / "a.png", 1).parent


@pytest.fixture(scope="module")
def without_hints(
    photos_indexed: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    collection = tmp_path_factory.mktemp("silent") / "collection"
    shutil.copytree(photos_indexed[1], collection)
    with serving(collection, CLIPDEX_HINTS="0") as server:
        yield server


def test_the_first_images_bring_a_hint_once(photos: Path, tmp_path: Path) -> None:
    index = ("index", photos, "--collection", tmp_path / "c")
    first = in_terminal(*index)
    assert first.count(BETTER) == 1
    assert b"--model immich-app/ViT-B-32__laion2b-s34b-b79k` finds more" in first
    assert b"Off: CLIPDEX_HINTS=0" in first
    assert BETTER not in in_terminal(*index)
    make_photo(photos / "b.png", 2)
    later = in_terminal(*index)
    assert b"1 indexed" in later
    assert BETTER not in later


@pytest.mark.parametrize("arguments", [["--json"], []], ids=["json", "off"])
def test_the_first_images_are_indexed_silently(
    photos: Path, tmp_path: Path, arguments: list[str]
) -> None:
    environment = {} if arguments else {"CLIPDEX_HINTS": "0"}
    index = ("index", photos, "--collection", tmp_path / "c", *arguments)
    assert BETTER not in in_terminal(*index, **environment)


def test_programs_are_not_advised(clipdex: Run, photos: Path) -> None:
    for command in (["index", photos], ["status"]):
        done = clipdex(*command)
        assert BETTER not in done.stdout + done.stderr


def test_status_says_it_while_the_built_in_model_answers(
    photos_indexed: tuple[Path, Path],
) -> None:
    status = ("status", "--collection", photos_indexed[1])
    assert in_terminal(*status).count(BETTER) == 1
    assert BETTER not in in_terminal(*status, "--json")
    assert BETTER not in in_terminal(*status, CLIPDEX_HINTS="0")


def test_a_question_in_german_is_pointed_out(
    clipdex: Run, photos_indexed: tuple[Path, Path]
) -> None:
    ask = ("search", "eine", "Katze", "--collection", photos_indexed[1])
    done = clipdex(*ask)
    assert done.stderr.count(GERMAN) == 1
    assert b"`clipdex models recommend --languages de`" in done.stderr
    for form in ("--json", "--csv", "--paths", "--print0"):
        assert GERMAN not in clipdex(*ask, form).stderr
    assert GERMAN not in clipdex(*ask, env={"CLIPDEX_HINTS": "0"}).stderr
    assert b"looks like" not in clipdex("search", "a cat", *ask[3:]).stderr
    wanted = clipdex("search", "a cat", "--not", "eine Katze", *ask[3:])
    assert GERMAN in wanted.stderr


def test_a_server_points_it_out_too(clipdex: Run, served: Served) -> None:
    answer = served.get("/v1/search", params={"q": "eine Katze"}).json()
    assert answer["notice"].startswith(GERMAN.decode())
    body = {"text": "\u732b"}
    assert "Chinese" in served.post("/v1/search", json=body).json()["notice"]
    assert served.get("/v1/search", params={"q": "a cat"}).json()["notice"] is None
    assert served.get("/v1/search").json()["notice"] is None
    # A command that it answers.
    done = clipdex("search", "eine Katze", "--collection", served.collection)
    assert done.stderr.count(GERMAN) == 1


def test_a_servers_status_names_a_better_model(served: Served) -> None:
    assert served.get("/v1/status").json()["hint"].startswith(BETTER.decode())


def test_a_server_may_give_no_hints(without_hints: Served) -> None:
    assert without_hints.get("/v1/status").json()["hint"] is None
    assert without_hints.get("/v1/search", params={"q": "eine Katze"}).json()["notice"] is None


def test_with_another_model_nothing_is_said(photos: Path, tmp_path: Path) -> None:
    encoder = FakeEncoder()
    build([photos], collection=tmp_path / "c", encoder=encoder)
    with Engine.open(tmp_path / "c", encoder=encoder) as engine:
        status = engine.status()
        assert better_model(status.model, status.models) is None
        assert engine.results(SearchRequest("eine Katze")).foreign_language is None


def test_while_the_model_changes_nothing_is_said() -> None:
    assert better_model("pocket", [{"state": "active"}, {"state": "former"}])
    assert better_model("pocket+int8")
    assert better_model("pocket", [{"state": "active"}, {"state": "pending"}]) is None
