"""Decoding in processes: the same results, errors in one line, and no process left behind."""

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from indexer import build
from indexer.errors import ClipdexError, WorkerLost
from indexer.images.decode import Limits
from indexer.images.preprocess import Preprocess
from indexer.pipeline.decode_pool import ProcessDecoders, ThreadDecoders, decoders_for, lost
from indexer.pipeline.stages import Reading
from indexer.store.collection import Collection
from indexer.store.lookup import Lookup
from indexer.store.records import Task
from indexer.testing import FakeEncoder
from support.images import make_photo


class InProcesses(FakeEncoder):
    decode_in_processes = True


def square(number: int) -> int:
    return number * number


def die(number: int) -> int:
    os._exit(number)


def test_results_are_those_of_threads() -> None:
    for make in (ThreadDecoders, ProcessDecoders):
        decoders = make(2, square)  # type: ignore[abstract]
        found = [decoders.submit(number) for number in range(50)]
        assert [one.result() for one in found] == [number**2 for number in range(50)]
        decoders.close()


def test_a_process_that_dies_is_told_in_one_line() -> None:
    decoders = ProcessDecoders(1, die)
    with pytest.raises(WorkerLost, match="fewer --workers") as caught, lost():
        decoders.submit(5).result(timeout=20)
    assert isinstance(caught.value, ClipdexError)
    with pytest.raises(WorkerLost):
        decoders.submit(5)
    decoders.close()


def test_images_are_read_alike_and_known_ones_left_out(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for number in range(6):
        make_photo(photos / f"{number}.png", number)
    (photos / "bad.jpg").write_text("no image")
    build([make_photo(photos / "0.png", 0)], collection=tmp_path / "c", encoder=FakeEncoder())
    tasks = [
        Task(0, os.fsencode(photos), os.fsencode(file.name), 0, 0)
        for file in sorted(photos.iterdir())
    ]
    with Lookup(Collection(tmp_path / "c"), "fake") as lookup:
        reading = Reading(Preprocess((32, 32)), Limits(), lookup.is_encoded)
        decoders = decoders_for(InProcesses(), 2, reading, lookup.is_encoded)
        assert isinstance(decoders, ProcessDecoders)
        theirs = [one.result() for one in [decoders.submit(task) for task in tasks]]
        decoders.close()
        ours = [reading(task) for task in tasks]
    for there, here in zip(theirs, ours, strict=True):
        assert there.task == here.task
        assert (there.digest, there.reason, there.thumbnail) == (
            here.digest,
            here.reason,
            here.thumbnail,
        )
        assert (there.pixels is None) == (here.pixels is None)
        assert there.pixels is None or np.array_equal(there.pixels, here.pixels)
    assert theirs[0].pixels is None
    assert theirs[0].reason is None
    assert theirs[-1].reason is not None


def test_what_cannot_be_sent_to_a_process_stays_in_threads() -> None:
    def known(digest: bytes) -> bool:
        return False

    work: Callable[[int], int] = partial(pow, 2)
    decoders = decoders_for(InProcesses(), 1, work, known)
    assert isinstance(decoders, ThreadDecoders)
    decoders.close()


def test_a_run_with_processes_makes_the_same_collection(tmp_path: Path) -> None:
    for number in range(30):
        make_photo(tmp_path / "p" / f"{number:02}.png", number % 25)
    (tmp_path / "p" / "bad.jpg").write_text("no image")
    logs = []
    for kind in (FakeEncoder, InProcesses):
        encoder = kind(log=tmp_path / kind.__name__)
        report = build(
            [tmp_path / "p"], collection=tmp_path / f"{kind.__name__}.c", encoder=encoder, workers=2
        )
        assert (report.indexed, report.reused, report.failed) == (25, 5, 1)
        logs.append((tmp_path / kind.__name__).read_text())
    assert logs[0] == logs[1]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="POSIX")
def test_a_killed_decoder_ends_the_run_and_keeps_what_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        make_photo(tmp_path / "p" / f"{number:02}.png", number)
    killed: list[int] = []

    class Killing(InProcesses):
        batch_size = 5

        def encode_images(self, pixels):  # type: ignore[no-untyped-def]
            if len(self.batches) == 3 and not killed:
                children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
                lines = [(pid, Path(f"/proc/{pid}/cmdline").read_bytes()) for pid in children]
                killed.extend(int(pid) for pid, line in lines if b"spawn_main" in line)
                os.kill(killed[0], signal.SIGKILL)
            return super().encode_images(pixels)

    with pytest.raises(WorkerLost):
        build([tmp_path / "p"], collection=tmp_path / "c", encoder=Killing(), workers=2)
    report = build([tmp_path / "p"], collection=tmp_path / "c", encoder=FakeEncoder())
    assert report.indexed + report.unchanged == 60
    assert report.unchanged >= 5
