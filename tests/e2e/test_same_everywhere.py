"""Vectors, hits, counts and labels do not depend on the machine: all are compared with a record.

The record is the golden collection, which another machine may have written: another processor,
other numbers of cores and threads, another language and time zone.
"""

import json
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.command import REPOSITORY, Run, json_lines

GOLDEN = REPOSITORY / "tests" / "golden" / "collection"
# Cosine of a vector with the recorded one, and differences of scores and probabilities.
MIN_COSINE, SCORE, PROBABILITY = 0.9995, 2e-3, 0.02
LABELS = ("cat", "coffee", "rocket")


def vectors(collection: Path) -> dict[bytes, np.ndarray]:
    """The vectors `(dim,)` by content hash."""
    with closing(sqlite3.connect(collection / "catalogue.sqlite3")) as connection:
        rows = connection.execute(
            "SELECT hash, vector FROM contents JOIN embeddings ON content = id"
        )
        return {key: np.frombuffer(one, "<f2").astype(np.float32) for key, one in rows}


def labelled(clipdex: Run) -> dict[str, dict[str, float]]:
    rows = json_lines(clipdex("label", "--labels", ",".join(LABELS), "--json"))
    return {
        Path(row["path"]).name: {one["label"]: one["probability"] for one in row["labels"]}
        for row in rows
    }


@pytest.mark.parametrize(
    ("options", "environment", "prefix"),
    [
        (["--workers", 1, "--batch-size", 1], {"TZ": "Pacific/Kiritimati", "LC_ALL": "C"}, ()),
        (["--workers", 3, "--batch-size", 7], {"TZ": "America/Adak", "LC_ALL": "tr_TR.UTF-8"}, ()),
        pytest.param(
            [], {"OMP_NUM_THREADS": "3"}, ("taskset", "-c", "0"),
            marks=pytest.mark.skipif(sys.platform != "linux", reason="taskset is Linux's"),
        ),
    ],
)  # fmt: skip
def test_results_are_the_recorded_ones(
    clipdex: Run,
    tmp_path: Path,
    options: list[object],
    environment: dict[str, str],
    prefix: tuple[str, ...],
) -> None:
    expected: dict[str, Any] = json.loads((GOLDEN / "expected.json").read_text())
    photos = tmp_path / "photos"
    for file in sorted((GOLDEN / "photos").rglob("*"), reverse=True):  # another order on disk
        if file.is_file():
            target = photos / file.relative_to(GOLDEN / "photos")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    # The model of the record, whose graphs differ from its successor's in their weights alone.
    options = [*options, "--model", "pocket-v0"]
    done = clipdex("index", photos, "--json", *options, env=environment, prefix=prefix, code=3)
    report = json_lines(done)[-1]
    assert (report["indexed"], report["reused"], report["failed"]) == (4, 1, 1)
    now, recorded = vectors(tmp_path / "collection"), vectors(GOLDEN / "index")
    assert now.keys() == recorded.keys()
    for key, vector in now.items():
        assert float(vector @ recorded[key]) > MIN_COSINE
    for query, before in expected["queries"].items():
        hits = json_lines(clipdex("search", query, "--json", env=environment, prefix=prefix))
        assert [Path(hit["path"]).name for hit in hits] == [hit["name"] for hit in before]
        for hit, old in zip(hits, before, strict=True):
            assert hit["score"] == pytest.approx(old["score"], abs=SCORE)
            assert hit["relevance"] == pytest.approx(old["relevance"], abs=PROBABILITY)
    assert labelled(clipdex) == {
        name: pytest.approx(labels, abs=PROBABILITY) for name, labels in expected["labels"].items()
    }
