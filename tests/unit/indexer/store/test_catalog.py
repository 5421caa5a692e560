import gc
import sqlite3
import weakref
from contextlib import closing
from pathlib import Path

import pytest

from indexer import build
from indexer.errors import (
    CollectionFormatError,
    CollectionLocked,
    CollectionNotFound,
    CollectionStorageError,
)
from indexer.store.catalog import Catalog, write_transaction, writing
from indexer.store.collection import Collection, filesystem_of
from indexer.store.records import Scope
from indexer.store.rows import FileRow
from indexer.testing import FakeEncoder
from support.images import make_photo


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    make_photo(tmp_path / "photos" / "a.png", 1)
    build([tmp_path / "photos"], collection=tmp_path / "c", encoder=FakeEncoder())
    return Collection(tmp_path / "c")


def edit(collection: Collection, statement: str) -> None:
    connection = sqlite3.connect(collection.catalog)
    connection.execute(statement)
    connection.commit()
    connection.close()


def opened(collection: Collection, writable: bool) -> None:
    if writable:
        with writing(collection, "test"):
            pass
    else:
        Catalog.open(collection).close()


@pytest.mark.parametrize("writable", [True, False])
def test_a_format_from_the_future_is_refused(collection: Collection, writable: bool) -> None:
    edit(collection, "PRAGMA user_version = 99")
    with pytest.raises(CollectionFormatError, match="newer clipdex .format 99"):
        opened(collection, writable)


def test_the_database_of_another_program_is_refused(tmp_path: Path) -> None:
    collection = Collection(tmp_path)
    edit(collection, "PRAGMA user_version = 1")
    with pytest.raises(CollectionFormatError, match="another program"):
        opened(collection, True)


def test_a_file_that_is_not_a_database_is_refused(collection: Collection) -> None:
    collection.catalog.write_bytes(b"no database, but long enough to be taken for one" * 100)
    with pytest.raises(CollectionFormatError, match="damaged"):
        Catalog.open(collection)


def test_an_absent_collection_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CollectionNotFound, match="clipdex index FOLDER"):
        Catalog.open(Collection(tmp_path))


def test_catalog_without_tables_is_an_empty_collection(tmp_path: Path) -> None:
    collection = Collection(tmp_path)
    edit(collection, "PRAGMA journal_mode = WAL")  # as the first writer begins
    with pytest.raises(CollectionNotFound, match="nothing was indexed yet"):
        Catalog.open(collection)


def test_ids_are_never_used_again(collection: Collection, tmp_path: Path) -> None:
    catalog = Catalog.open(collection)
    first = catalog.embeddings_of("fake", range(1, 10)).keys()
    catalog.close()
    make_photo(tmp_path / "photos" / "a.png", 2)
    build([tmp_path / "photos"], collection=collection.folder, encoder=FakeEncoder(),
          prune_vanished=True)  # fmt: skip
    catalog = Catalog.open(collection)
    second = catalog.embeddings_of("fake", range(1, 10)).keys()
    catalog.close()
    assert len(first) == len(second) == 1
    assert not first & second


def test_a_transaction_that_fails_leaves_nothing(collection: Collection) -> None:
    def fail() -> None:
        with write_transaction(collection, "test") as catalog:
            catalog.next_generation()
            raise RuntimeError

    with closing(Catalog.open(collection)) as catalog:
        before = catalog.generation()
        with pytest.raises(RuntimeError):
            fail()
        assert catalog.generation() == before


def test_network_file_systems_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda1 / ext4 rw 0 0\n"
        f"nas:/x {tmp_path}/my\\040nas nfs4 rw 0 0\n"
        "broken\\040name /other tmpfs rw 0 0\n"
    )
    assert filesystem_of(tmp_path / "my nas" / "index", mounts) == "nfs4"
    assert filesystem_of(tmp_path / "my nas too", mounts) == "ext4"
    assert filesystem_of(tmp_path, tmp_path / "none") is None
    monkeypatch.setattr("indexer.store.collection.filesystem_of", lambda path: "nfs4")
    with pytest.raises(CollectionStorageError, match="network file system .nfs4"):
        Collection(tmp_path / "c").create()


def test_a_locked_database_is_an_error(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.store.database.LOCK_SECONDS", 0.1)
    make_photo(tmp_path / "photos" / "b.png", 2)
    other = sqlite3.connect(collection.catalog)
    other.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(CollectionLocked, match="locked the catalog"):
            build([tmp_path / "photos"], collection=collection.folder, encoder=FakeEncoder())
    finally:
        other.close()
    report = build([tmp_path / "photos"], collection=collection.folder, encoder=FakeEncoder())
    assert (report.indexed, report.unchanged) == (1, 1)


def test_a_catalog_that_is_asked_for_long_keeps_no_cursors(collection: Collection) -> None:
    catalog = Catalog.open(collection)
    for _ in range(3_000):
        catalog.generation()
    # sqlite3 keeps weak references to a connection's cursors, and drops the dead ones now and then.
    dead = [one for one in gc.get_objects() if type(one) is weakref.ref and one() is None]
    assert len(dead) < 1_000
    catalog.close()


def test_words_of_erased_paths_are_gone(tmp_path: Path) -> None:
    collection = Collection(tmp_path)
    with writing(collection, "index") as catalog:
        for word in ("anna", "secretname", "zoe"):  # several segments of the index of words
            with catalog.transaction():
                root = catalog.add_root(b"/photos")
                catalog.put_file(FileRow(root, word.encode() + b".jpg", 1, 1, None, "broken"))
        with catalog.erasing(), catalog.transaction():
            catalog.remove_files(Scope(root, b"/photos", b"secretname.jpg"))
        assert b"etname" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert b"anna" in b"".join(path.read_bytes() for path in tmp_path.iterdir())
