"""What is private stays out of the collection, and what is forgotten is gone."""

import os
import sqlite3
import unicodedata
from pathlib import Path

import pytest

from indexer.store.collection import Collection
from indexer.store.thumbnail_files import thumbnail_path
from support.command import Run, json_lines
from support.images import make_photo


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number, name in enumerate(("a.png", "b.png", "Private/c.png", "Private/deep/d.png")):
        make_photo(tmp_path / "photos" / name, number)
    return tmp_path / "photos"


def indexed(clipdex: Run) -> set[str]:
    hits = json_lines(clipdex("search", "colours", "-k", 1000, "--json"))
    return {Path(path).name for hit in hits for path in hit["paths"]}


@pytest.mark.parametrize(
    "pattern",
    [
        "Private/", "./Private", "PRIVATE", "**/Private/**", "photos/Private", "{photos}/Private",
        "{Private,Other}/",
    ],
)  # fmt: skip
def test_a_private_folder_is_never_indexed(clipdex: Run, photos: Path, pattern: str) -> None:
    pattern = pattern.replace("{photos}", str(photos))
    done = clipdex("index", photos, "--exclude", pattern)
    assert b"matched nothing" not in done.stderr
    assert indexed(clipdex) == {"a.png", "b.png"}
    clipdex("index", photos)
    assert indexed(clipdex) == {"a.png", "b.png"}, "the collection keeps its exclusions"
    (status,) = json_lines(clipdex("status", "--json"))
    assert {rule["origin"] for rule in status["excluded"]} == {"exclude"}
    clipdex("index", photos, "--include", pattern)
    assert len(indexed(clipdex)) == 4


def test_a_pattern_that_matches_nothing_is_reported(clipdex: Run, photos: Path) -> None:
    assert b"'Privat' matched nothing" in clipdex("index", photos, "--exclude", "Privat").stderr
    assert b"does not exclude" in clipdex("index", photos, "--include", "x", code=1).stderr
    assert b"not a pattern" in clipdex("index", photos, "--exclude", "/", code=1).stderr


def test_an_excluded_folder_cannot_be_named(clipdex: Run, photos: Path) -> None:
    clipdex("index", photos, "--exclude", "Private/")
    said = clipdex("index", photos / "Private", code=1).stderr
    assert b"is left out by an earlier --exclude" in said
    clipdex("index", photos / "Private", "--include", "Private/")
    assert len(indexed(clipdex)) == 4


def test_what_is_excluded_later_is_erased(clipdex: Run, photos: Path, tmp_path: Path) -> None:
    clipdex("index", photos)
    (report,) = json_lines(clipdex("index", photos, "--exclude", "Private/", "--json"))
    assert (report["unchanged"], report["removed"]) == (2, 2)
    assert indexed(clipdex) == {"a.png", "b.png"}
    with sqlite3.connect(tmp_path / "collection" / "catalogue.sqlite3") as catalog:
        assert catalog.execute("SELECT count(*) FROM contents").fetchone() == (2,)
        assert catalog.execute("SELECT count(*) FROM embeddings").fetchone() == (2,)


def test_forgotten_means_every_byte(clipdex: Run, photos: Path, tmp_path: Path) -> None:
    make_photo(photos / "secretname.png", 50)
    clipdex("index", photos)
    folder = tmp_path / "collection"
    (hit,) = [
        hit
        for hit in json_lines(clipdex("search", "colours", "-k", 10, "--json"))
        if hit["path"].endswith("secretname.png")
    ]
    with sqlite3.connect(folder / "catalogue.sqlite3") as catalog:
        query = (
            "SELECT hash, sketch, vector FROM contents JOIN embeddings ON content = id WHERE id = ?"
        )
        digest, thumbnail, vector = catalog.execute(query, (hit["id"],)).fetchone()
    catalog.close()
    for size in (200, 640):
        path = thumbnail_path(Collection(folder), digest, size)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"a thumbnail")
    kept = thumbnail_path(Collection(folder), bytes(16), 640)
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(b"another image's")

    def traces() -> set[str]:
        secrets = {"hash": digest, "thumbnail": thumbnail[:64], "vector": vector}
        return {
            f"{name} in {path.name}"
            for path in folder.rglob("*")
            if path.is_file()
            for name, secret in secrets.items()
            if secret in path.read_bytes()
        }

    assert traces()
    clipdex("forget", photos / "secretname.png")
    assert traces() == set()
    assert [path.name for path in folder.rglob("*.webp")] == [kept.name]
    clipdex("index", photos)
    assert "secretname.png" not in indexed(clipdex)
    assert traces() == set()
    (report,) = json_lines(clipdex("index", photos / "secretname.png", "--json"))
    assert report["indexed"] == 1
    clipdex("index", photos)
    assert "secretname.png" in indexed(clipdex)


def test_forgotten_folders_stay_forgotten_in_a_wider_root(
    clipdex: Run, photos: Path, tmp_path: Path
) -> None:
    clipdex("index", photos / "Private")
    clipdex("forget", photos / "Private")
    clipdex("index", photos)
    assert indexed(clipdex) == {"a.png", "b.png"}
    clipdex("index", photos / "Private" / "deep")
    clipdex("index", photos)
    assert indexed(clipdex) == {"a.png", "b.png", "c.png", "d.png"}


def test_labels_survive_forget_and_prune(clipdex: Run, photos: Path, tmp_path: Path) -> None:
    clipdex("index", photos)
    clipdex("tags", "add", "pear", photos / "Private")
    clipdex("tags", "add", "ripe", photos / "a.png")
    assert b"come back: 2 (" in clipdex("forget", photos / "Private").stderr
    os.rename(photos / "a.png", tmp_path / "a.png")
    clipdex("index", photos, "--prune")
    (status,) = json_lines(clipdex("status", "--json"))
    assert status["kept_labels"] == 3
    assert json_lines(clipdex("tags", "list", "--json")) == []
    os.rename(tmp_path / "a.png", photos / "again.png")
    clipdex("index", photos, photos / "Private")
    tags = {tag["label"]: tag["images"] for tag in json_lines(clipdex("tags", "list", "--json"))}
    assert tags == {"pear": 2, "ripe": 1}
    clipdex("forget", photos / "Private", "--drop-labels")
    clipdex("index", photos, photos / "Private")
    assert [tag["label"] for tag in json_lines(clipdex("tags", "list", "--json"))] == ["ripe"]


@pytest.mark.parametrize("stored", ["NFC", "NFD"])
def test_typed_accents_name_a_folder(clipdex: Run, tmp_path: Path, stored: str) -> None:
    photos = tmp_path / "photos"
    typed = "NFD" if stored == "NFC" else "NFC"
    name = unicodedata.normalize(typed, "Genève")
    make_photo(photos / unicodedata.normalize(stored, "Genève") / "a.png", 1)
    make_photo(photos / "b.png", 2)
    clipdex("index", photos)
    hits = json_lines(clipdex("search", "colours", "--in", name, "--json"))
    assert [Path(hit["path"]).name for hit in hits] == ["a.png"]
    hits = json_lines(clipdex("search", "colours", "--in", photos / name, "--json"))
    assert [Path(hit["path"]).name for hit in hits] == ["a.png"]
    excluded = json_lines(clipdex("search", "colours", "--exclude", name, "--json"))
    assert [Path(hit["path"]).name for hit in excluded] == ["b.png"]
    assert b"1 files forgotten" in clipdex("forget", photos / name).stdout
    clipdex("index", photos)
    assert indexed(clipdex) == {"b.png"}
