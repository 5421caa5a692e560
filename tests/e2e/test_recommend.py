"""`clipdex models recommend`, and `models pull recommended`."""

import shutil
from pathlib import Path

import pytest

from indexer.bundles.bundle import Bundle
from indexer.bundles.cache import Record, write_record
from indexer.model_name import BUILT_IN_FOLDER
from support.command import Run, json_lines
from support.images import make_photo

ENGLISH = "immich-app/ViT-B-32__laion2b-s34b-b79k"
OTHERS = "immich-app/ViT-B-32-SigLIP2-256__webli"
RECOMMEND = ("models", "recommend")


@pytest.fixture
def english_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache holds a model of that name: the built-in one."""
    monkeypatch.setenv("CLIPDEX_CACHE", str(tmp_path / "cache"))
    fingerprint = Bundle.load(BUILT_IN_FOLDER).fingerprint
    shutil.copytree(BUILT_IN_FOLDER, tmp_path / "cache" / "models" / fingerprint)
    write_record(Record(ENGLISH, fingerprint, ENGLISH, None, []))


def test_models_are_ranked_with_their_figures(clipdex: Run) -> None:
    rows = json_lines(clipdex(*RECOMMEND, "--json"))
    recalls = [row["mean_recall"] for row in rows]
    assert recalls == sorted(recalls, reverse=True)
    assert {row["name"]: row["default_for"] for row in rows if row["default_for"]} == {
        ENGLISH: "English",
        OTHERS: "other languages",
    }
    (english,) = [row for row in rows if row["name"] == ENGLISH]
    assert english == {
        "name": ENGLISH, "default_for": "English", "recall": {"en": 68.78}, "mean_recall": 68.78,
        "megabytes": 605, "memory_mib": 1001, "published_ms": 2.29, "here": False,
        "images_per_second": None, "images": 10_000, "hours": None, "licence": "MIT",
    }  # fmt: skip


def test_models_that_are_here_are_timed(clipdex: Run, english_is_here: None) -> None:
    rows = json_lines(clipdex(*RECOMMEND, "--images", 7200, "--json"))
    (row,) = [row for row in rows if row["here"]]
    assert row["name"] == ENGLISH
    assert row["images_per_second"] > 0
    assert row["hours"] == pytest.approx(2 / row["images_per_second"], abs=0.001)


def test_a_model_that_does_not_run_has_no_speed(
    clipdex: Run, english_is_here: None, tmp_path: Path
) -> None:
    (graph,) = (tmp_path / "cache").rglob("image.onnx")
    graph.write_bytes(b"damaged")
    done = clipdex(*RECOMMEND, "--json")
    (row,) = [row for row in json_lines(done) if row["here"]]
    assert row["images_per_second"] is row["hours"] is None
    assert f"{ENGLISH} cannot be tried: ".encode() in done.stderr


def test_languages_and_budget_choose(clipdex: Run) -> None:
    rows = json_lines(clipdex(*RECOMMEND, "--languages", "zh,de", "--budget-mb", 2000, "--json"))
    assert OTHERS in [row["name"] for row in rows]
    assert ENGLISH not in [row["name"] for row in rows]  # no figure for Chinese
    for row in rows:
        assert row["megabytes"] <= 2000
        assert list(row["recall"]) == ["zh", "de"]
    for arguments in (["--languages", "zh,tlh"], ["--budget-mb", 5]):
        done = clipdex(*RECOMMEND, *arguments, code=1)
        assert done.stderr.count(b"\n") == 1
        assert done.stdout == b""


def test_the_table_names_its_source_beside_it(clipdex: Run, tmp_path: Path) -> None:
    for number in range(3):
        make_photo(tmp_path / "photos" / f"{number}.png", number)
    clipdex("index", "photos")
    done = clipdex(*RECOMMEND, "--languages", "zh,de")
    header, *rows = (line.split("\t") for line in done.stdout.decode().splitlines())
    assert header[:5] == ["model", "default", "Chinese", "German", "mean"]
    assert all(len(row) == len(header) for row in rows)
    assert b"Immich's documentation" in done.stderr
    assert b"hours for 3 images" in done.stderr


def test_recommended_is_a_name_to_pull(clipdex: Run) -> None:
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    for arguments, chosen in ([], ENGLISH), (["--languages", "de,fr"], OTHERS):
        done = clipdex("models", "pull", "recommended", *arguments, code=1, env=nowhere)
        assert done.stderr.startswith(f"recommended: {chosen}\n".encode())
    done = clipdex("models", "pull", "recommended", "--languages", "te", code=1)
    assert b"models recommend --languages te" in done.stderr
