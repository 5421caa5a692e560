"""What a collection or a bundle names itself never leads out of its folder."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from indexer.bundles.bundle import Bundle
from indexer.errors import BundleError
from indexer.model_name import BUILT_IN_FOLDER
from support.command import Run
from support.images import make_photo


@pytest.fixture
def indexed(clipdex: Run, tmp_path: Path) -> Path:
    for number in range(3):
        make_photo(tmp_path / "photos" / f"{number}.png", number)
    clipdex("index", tmp_path / "photos")
    (tmp_path / "victim").mkdir()
    for name in ("IMG-1.fp16.faiss", "IMG-2.jpg", "IMG_3.jpg"):
        (tmp_path / "victim" / name).write_text("somebody's own")
    return tmp_path / "collection"


def rename_model(collection: Path, fingerprint: str, state: str) -> None:
    """Write a fingerprint into the catalog, as the active model's or as a former one's."""
    with closing(sqlite3.connect(collection / "catalogue.sqlite3")) as catalog, catalog:
        if state == "former":
            catalog.execute("INSERT INTO models VALUES (?, 'x', 512, 0, 0)", (fingerprint,))
        else:
            for table in ("models", "embeddings", "vector_files"):
                catalog.execute(f"UPDATE {table} SET fingerprint = ?", (fingerprint,))


@pytest.mark.parametrize("state", ["active", "former"])
@pytest.mark.parametrize("fingerprint", ["../../victim/IMG", "{victim}/IMG", "", "a" * 65, "a\nb"])
def test_a_fingerprint_of_the_catalog_stays_a_name(
    clipdex: Run, indexed: Path, tmp_path: Path, fingerprint: str, state: str
) -> None:
    rename_model(indexed, fingerprint.replace("{victim}", str(tmp_path / "victim")), state)
    before = sorted(path.name for path in (tmp_path / "victim").iterdir())
    commands = [("index", tmp_path / "photos", "--prune")]
    if state == "active":
        commands += [("search", "a cat"), ("index", tmp_path / "photos")]
    for command in commands:
        done = clipdex(*command, code=1)
        assert b"not a fingerprint" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert sorted(path.name for path in (tmp_path / "victim").iterdir()) == before
    assert not (tmp_path / "victim" / "IMG-1.fp16.faiss").read_text().startswith("Ix")


def test_a_folder_of_vectors_that_leads_elsewhere_is_not_used(
    clipdex: Run, indexed: Path, tmp_path: Path
) -> None:
    shutil.rmtree(indexed / "vectors")
    (indexed / "vectors").symlink_to(tmp_path / "victim")
    make_photo(tmp_path / "photos" / "new.png", 9)
    assert b"leads out of the collection" in clipdex("index", tmp_path / "photos", code=1).stderr
    assert len(list((tmp_path / "victim").iterdir())) == 3


def test_other_files_among_the_vectors_stay(clipdex: Run, indexed: Path, tmp_path: Path) -> None:
    (file,) = (indexed / "vectors").iterdir()
    fingerprint = file.name.partition("-")[0]
    own = indexed / "vectors" / f"{fingerprint}-holiday.jpg"
    own.write_text("somebody's own")
    make_photo(tmp_path / "photos" / "new.png", 9)
    clipdex("index", tmp_path / "photos")
    assert own.exists()
    assert not file.exists()


@pytest.mark.parametrize("manifest", ['{"fingerprint": "../../victim/IMG"}', "[]", '"x"', "7"])
def test_a_bundles_manifest_is_checked(tmp_path: Path, manifest: str) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(BUILT_IN_FOLDER, folder)
    fields = json.loads((folder / "bundle.json").read_text())
    changed = json.loads(manifest)
    if isinstance(changed, dict):
        changed = {**fields, **changed}
    (folder / "bundle.json").write_text(json.dumps(changed))
    with pytest.raises(BundleError, match="damaged"):
        Bundle.load(folder)
