import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from indexer import Progress, Skipped, build
from indexer.encoder import Embeddings, Pixels
from indexer.store.catalog import Catalog
from indexer.store.collection import Collection
from indexer.testing import FakeEncoder
from support.images import make_photo
from support.waiting import wait_until


class MeetingEncoder(FakeEncoder):
    """Two threads that must meet before either goes on."""

    workers = 2
    batch_sizes = (5,)

    def prepare(self, images: int, batch_size: int | None) -> None:
        """Nothing has to be started."""

    def close(self) -> None:
        """Nor ended."""

    def __init__(self) -> None:
        super().__init__()
        self.meeting = threading.Barrier(2, timeout=120)

    def encode_images(self, pixels: Pixels) -> Embeddings:
        self.meeting.wait()
        return super().encode_images(pixels)


def test_workers_encode_at_the_same_time(tmp_path: Path) -> None:
    for number in range(20):
        make_photo(tmp_path / f"{number:02}.png", number)
    encoder = MeetingEncoder()
    report = build([tmp_path], collection=tmp_path / "c", encoder=encoder)
    assert report.indexed == 20
    assert encoder.batches == [5, 5, 5, 5]


def test_batches_larger_than_the_drain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from indexer.pipeline import stages

    monkeypatch.setattr(stages, "FLUSH_SECONDS", 60.0)
    monkeypatch.setattr(stages, "DRAIN", 5)
    for number in range(20):
        make_photo(tmp_path / f"{number:02}.png", number)
    encoder = FakeEncoder()
    build([tmp_path], collection=tmp_path / "c", encoder=encoder, batch_size=12)
    assert encoder.batches == [12, 8]


def test_small_batches_are_committed_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from indexer.pipeline import stages

    monkeypatch.setattr(stages, "GROUP_SECONDS", 60.0)
    for number in range(20):
        make_photo(tmp_path / f"{number:02}.png", number)
    encoder, collection = FakeEncoder(), Collection(tmp_path / "c")
    build([tmp_path], collection=collection.folder, encoder=encoder, batch_size=1)
    assert encoder.batches == [1] * 20
    with closing(Catalog.open(collection)) as catalog:
        assert catalog.generation() == 3  # of 8, 8 and 4 images
        assert catalog.counts() == (20, 20, 0)


def test_copies_in_one_run_are_encoded_once(tmp_path: Path) -> None:
    for number in range(30):
        make_photo(tmp_path / f"{number:02}.png", number % 3)
    encoder = FakeEncoder()
    report = build([tmp_path], collection=tmp_path / "c", encoder=encoder, batch_size=2)
    assert (report.indexed, report.reused) == (3, 27)
    assert sum(encoder.batches) == 3


def test_two_runs_make_the_same_batches(tmp_path: Path) -> None:
    for number in range(25):
        make_photo(tmp_path / "p" / f"{number:02}.png", number)
    logs = []
    for name in ("one", "two"):
        encoder = FakeEncoder(log=tmp_path / name)
        build([tmp_path / "p"], collection=tmp_path / f"{name}.c", encoder=encoder, workers=4)
        logs.append((tmp_path / name).read_text())
    assert logs[0] == logs[1]


def test_progress_and_skipped_files(tmp_path: Path) -> None:
    for number in range(9):
        make_photo(tmp_path / f"{number}.png", number)
    (tmp_path / "bad.jpg").write_text("x")
    seen: list[Progress] = []
    skipped: list[Skipped] = []
    build(
        [tmp_path],
        collection=tmp_path / "c",
        encoder=FakeEncoder(),
        on_progress=seen.append,
        on_skip=skipped.append,
    )
    assert [progress.stage for progress in seen[:2]] == ["scan", "index"]
    assert max(p.done for p in seen if p.stage == "index") == 10
    assert {p.total for p in seen if p.stage == "index"} == {10}
    assert [item.path for item in skipped] == [str(tmp_path / "bad.jpg").encode()]


def test_a_slow_file_does_not_delay_commits(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from indexer.pipeline import read, stages

    for number in range(4):
        make_photo(tmp_path / "p" / f"{number}.png", number)
    make_photo(tmp_path / "p" / "9-slow.png", 9)
    monkeypatch.setattr(stages, "FLUSH_SECONDS", 0.2)
    real = read.read
    counted: list[int] = []

    def committed() -> int:
        with closing(Catalog.open(Collection(tmp_path / "c"))) as catalog:
            return int(catalog.counts()[0])

    def slow(task, *arguments):  # type: ignore[no-untyped-def]
        if b"slow" in task.path:
            wait_until(lambda: committed() == 4)
            counted.append(committed())
        return real(task, *arguments)

    monkeypatch.setattr(read, "read", slow)
    build([tmp_path / "p"], collection=tmp_path / "c", encoder=FakeEncoder(), batch_size=100)
    assert counted == [4]


def test_vectors_are_kept_at_unit_norm(tmp_path: Path) -> None:
    from indexer.store.catalog import Catalog
    from indexer.store.collection import Collection

    make_photo(tmp_path / "a.png", 1)
    build([tmp_path], collection=tmp_path / "c", encoder=FakeEncoder())
    catalog = Catalog.open(Collection(tmp_path / "c"))
    ((_, vectors),) = catalog.embeddings("fake")
    catalog.close()
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
