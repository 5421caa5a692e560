"""Batches whose images another writer has removed since they were read."""

from pathlib import Path

from indexer.pipeline.read import Batch, Read
from indexer.pipeline.writer import BuildReport, Committer, Skipped
from indexer.store.catalog import writing
from indexer.store.collection import Collection
from indexer.store.rows import Task
from support.store_contract import MODEL, add, content


def test_image_that_was_removed_meanwhile_is_left_to_the_next_run(tmp_path: Path) -> None:
    collection = Collection(tmp_path / "collection")
    collection.create()
    report, skipped = BuildReport(), list[Skipped]()
    with writing(collection, "test") as store:
        with store.transaction():
            store.activate(MODEL)
            root = store.add_root(b"/photos")
            add(store, root, b"a.jpg", content(1))
        files = [
            Read(Task(root, b"/photos", name, 1, 2), 1, 2, digest)
            for name, digest in ((b"copy.jpg", b"%016d" % 1), (b"gone.jpg", b"%016d" % 2))
        ]
        committer = Committer(store, MODEL.fingerprint, report, skipped.append)
        with store.transaction():
            committer.commit(Batch(files))
        assert sorted(store.paths_in(root)) == [b"a.jpg", b"copy.jpg"]
    assert (report.reused, report.failed, report.indexed) == (1, 1, 0)
    assert [one.path for one in skipped] == [b"/photos/gone.jpg"]
    assert "the next run reads it again" in skipped[0].reason
