"""Folders by unusual names, links and copies."""

import os
import shutil
from pathlib import Path

import pytest

from indexer import build
from indexer.errors import QueryError
from indexer.testing import FakeEncoder
from search import Filter
from support.dated_photos import open_collection, write

pytestmark = pytest.mark.usefixtures("this_machine_is_in_berlin")


def test_copies_are_filtered_by_their_own_folder(tmp_path: Path) -> None:
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


def test_undecodable_folders(tmp_path: Path) -> None:
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
