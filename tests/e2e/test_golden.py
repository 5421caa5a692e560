"""A collection that an earlier clipdex wrote opens, answers and is indexed again without work.

`tests/golden/collection` was written by the version before the packages were laid out anew
(commit 35f48f1, format 3), with the built-in model; its root was set to /photos afterwards. The
estimates of relevance are those of the logistic that docs/decisions/0012-relevance.md describes.
"""

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support.command import REPOSITORY, Run, json_lines

GOLDEN = REPOSITORY / "tests" / "golden" / "collection"


@pytest.fixture
def expected(tmp_path: Path) -> dict[str, Any]:
    """Put the collection where `clipdex` looks for it, its photos as old as it knows them."""
    shutil.copytree(GOLDEN / "photos", tmp_path / "photos")
    shutil.copytree(GOLDEN / "index", tmp_path / "collection")
    read: dict[str, Any] = json.loads((GOLDEN / "expected.json").read_text())
    for name, changed in read["mtime_ns"].items():
        os.utime(tmp_path / "photos" / name, ns=(changed, changed))
    catalog = tmp_path / "collection" / "catalogue.sqlite3"
    with closing(sqlite3.connect(catalog)) as connection, connection:
        connection.execute("UPDATE roots SET path = ?", (os.fsencode(tmp_path / "photos"),))
    return read


def test_old_collection_answers_as_before(
    clipdex: Run, expected: dict[str, Any], tmp_path: Path
) -> None:
    for query, before in expected["queries"].items():
        hits = json_lines(clipdex("search", query, "--json"))
        assert [(Path(hit["path"]).name, hit["id"]) for hit in hits] == [
            (hit["name"], hit["id"]) for hit in before
        ]
        for hit, old in zip(hits, before, strict=True):
            assert hit["score"] == pytest.approx(old["score"], abs=1e-3)
            assert hit["relevance"] == pytest.approx(old["relevance"], abs=0.02)
    (label,) = json_lines(clipdex("tags", "list", "--json"))
    assert label == {"label": "pet", "origin": "user", "images": 1}
    (status,) = json_lines(clipdex("status", "--json"))
    assert (status["images"], status["contents"], status["failed"]) == (5, 4, 1)
    # It was called "pocket" when that was the only one.
    assert status["model"] == "pocket-v0"
    assert [model["name"] for model in status["models"]] == ["pocket-v0"]


def test_old_collection_moves_on_to_the_present_model(
    clipdex: Run, expected: dict[str, Any], tmp_path: Path
) -> None:
    (before,) = json_lines(clipdex("status", "--json"))
    clipdex("index", tmp_path / "photos", "--model", "pocket", code=3)
    (after,) = json_lines(clipdex("status", "--json"))
    assert after["model"] == "pocket"
    assert after["fingerprint"] != before["fingerprint"]
    states = {model["name"]: model["state"] for model in after["models"]}
    assert states == {"pocket": "active", "pocket-v0": "former"}
    for query in expected["queries"]:
        assert json_lines(clipdex("search", query, "--json"))


def test_old_collection_is_indexed_again_without_work(
    clipdex: Run, expected: dict[str, Any], tmp_path: Path
) -> None:
    files = list((tmp_path / "collection" / "vectors").iterdir())
    # What an older clipdex could not read is tried once more.
    for code, unchanged, failed in ((3, 5, 1), (0, 6, 0)):
        report = json_lines(clipdex("index", tmp_path / "photos", "--json", code=code))[-1]
        assert (report["unchanged"], report["indexed"], report["reused"]) == (unchanged, 0, 0)
        assert (report["removed"], report["failed"]) == (0, failed)
    assert list((tmp_path / "collection" / "vectors").iterdir()) == files
