"""Filters where names, links, dates and numbers are unusual; and the search among ids."""

import os
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from indexer import build
from indexer.encoder import unit
from indexer.errors import QueryError
from indexer.store.fp16_index import Flat
from indexer.store.vector_index import VectorIndex
from indexer.testing import FakeEncoder
from search import Filter
from support.dated_photos import open_collection, write

pytestmark = pytest.mark.usefixtures("this_machine_is_in_berlin")


def test_a_copy_passes_by_its_own_folder_and_a_deleted_one_no_longer(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    write(photos / "a" / "x.jpg", 1, None, None)
    write(photos / "b" / "y.jpg", 1, None, None)
    write(photos / "b" / "z.jpg", 2, None, None)
    assert (photos / "a/x.jpg").read_bytes() == (photos / "b/y.jpg").read_bytes()
    with open_collection(tmp_path / "c", photos) as engine:
        (hit,) = engine.search("x", filter=Filter(["b"], exclude=["z*"]))
        assert [Path(path).name for path in hit.paths] == ["y.jpg", "x.jpg"]
        (photos / "b" / "y.jpg").unlink()
        build([photos], collection=tmp_path / "c", encoder=FakeEncoder())
        assert [hit.file.name for hit in engine.search("x", filter=Filter(["b"]))] == ["z.jpg"]
        (photos / "b" / "z.jpg").unlink()
        build([photos], collection=tmp_path / "c", encoder=FakeEncoder())
        with pytest.raises(QueryError, match="no indexed image"):
            engine.search("x", filter=Filter(["b"]))


def test_names_that_are_no_text_pass_and_are_named(tmp_path: Path) -> None:
    folder = os.path.join(os.fsencode(tmp_path), b"photos", b"caf\xe9")
    write(tmp_path / "plain.jpg", 1, None, None)
    os.makedirs(folder)
    shutil.copy(tmp_path / "plain.jpg", os.path.join(folder, b"\xff.jpg"))
    with open_collection(tmp_path / "c", tmp_path / "photos") as engine:
        for name in (os.fsdecode(folder), os.fsdecode(b"caf\xe9"), os.fsdecode(b"CAF\xe9")):
            (hit,) = engine.search("x", filter=Filter([name]))
            assert hit.raw_paths == (os.path.join(folder, b"\xff.jpg"),)
        assert not engine.search("x", filter=Filter(exclude=[os.fsdecode(b"\xff*")]))


def test_links_in_a_path_lead_to_the_same_images(tmp_path: Path) -> None:
    write(tmp_path / "real" / "sub" / "a.jpg", 1, None, None)
    write(tmp_path / "elsewhere" / "b.jpg", 2, None, None)
    (tmp_path / "real" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "door").symlink_to(tmp_path / "real")
    with open_collection(tmp_path / "c", tmp_path / "real") as engine:

        def names(folder: Path | str) -> set[str]:
            return {hit.file.name for hit in engine.search("x", filter=Filter([folder]))}

        assert names(tmp_path / "door") == {"a.jpg", "b.jpg"}
        assert names(tmp_path / "door" / "sub") == {"a.jpg"}
        assert names(tmp_path / "real" / "link") == {"b.jpg"}
        assert names(tmp_path / "door" / "link") == {"b.jpg"}
        assert names("link") == {"b.jpg"}


def test_many_folders_of_one_name_are_no_limit(tmp_path: Path) -> None:
    for number in range(250):
        write(tmp_path / "photos" / f"{number:03}" / "raw" / "a.jpg", number, None, None)
        write(tmp_path / "photos" / f"{number:03}" / "b.jpg", 1000 + number, None, None)
    with open_collection(tmp_path / "c", tmp_path / "photos") as engine:
        hits = engine.search("x", k=1000, filter=Filter(["raw"], since="2000"))
        assert len(hits) == 250
        assert all(hit.file.name == "a.jpg" for hit in hits)


def test_a_search_without_filters_loads_none_of_this() -> None:
    code = "import sys; from search import Engine; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert "search.engine" in loaded
    assert not {
        "search.filters.filter",
        "search.filters.folders",
        "search.filters.dates",
        "PIL",
    } & set(loaded)


# -- dates ---------------------------------------------------------------------------------------


def test_days_ago_are_counted_from_today(tmp_path: Path) -> None:
    now = datetime.now().replace(microsecond=0)
    for days in (0, 1, 6, 8, 40, 400, 800):
        write(tmp_path / "p" / f"{days}.jpg", days, now - timedelta(days=days), None)
    with open_collection(tmp_path / "c", tmp_path / "p") as engine:

        def days(**asked: str) -> set[int]:
            hits = engine.search("x", k=100, filter=Filter(**asked))  # type: ignore[arg-type]
            return {int(hit.file.stem) for hit in hits}

        assert days(since="today") == {0}
        assert days(since="yesterday", until="yesterday") == {1}
        assert days(since="7d") == {0, 1, 6}
        assert days(since="1w ago") == {0, 1, 6}
        assert days(since="2m") == {0, 1, 6, 8, 40}
        assert days(until="1y") == {400, 800}
        assert days(until="2Y") == {800}


@pytest.mark.parametrize(
    "text", ["", " ", "soon", "2024-13", "2024-02-30", "24-07-01", "2024-07-14T25:00", "7x",
             "2024-07-14T12", "0000", "2024-07-14T12:30+99:00", "99999y", "9999"]
)  # fmt: skip
def test_what_is_no_date_is_refused_saying_what_is(text: str) -> None:
    with pytest.raises(QueryError, match=r"is not a date: use 2024, 2024-07, .*yesterday"):
        Filter(until=text)


# -- the vector search below ---------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.5, 0.05, 0.005, 0.0])
@pytest.mark.parametrize("order", ["ascending", "mixed"])
def test_a_search_among_ids_is_brute_force(share: float, order: str) -> None:
    random = np.random.default_rng(3)
    given = unit(random.standard_normal((4000, 16)))
    vectors = unit(given.astype(np.float16))  # as they are kept
    ids = np.arange(10, 4010)
    if order == "mixed":
        random.shuffle(ids)
    parts = []
    for part in (slice(0, 3000), slice(3000, 4000)):
        parts.append(Flat.of(ids[part], given[part]))
    removed, without = ids[:50], ids[50:90]
    searched = VectorIndex(parts, removed.tolist(), 1)
    among = np.sort(random.choice(np.arange(0, 5000), int(share * 4000), replace=False))
    for query in random.standard_normal((5, 16)).astype(np.float32):
        keep = np.isin(ids, among) & ~np.isin(ids, np.concatenate([removed, without]))
        truth = (vectors @ query)[keep]
        best = np.lexsort((ids[keep], -truth))[:30]
        scores, found = searched.search(query, 30, without=without.tolist(), among=among)
        assert np.allclose(scores, truth[best], atol=1e-5)
        assert found.tolist() == ids[keep][best].tolist()
