"""How much is read ahead, of what."""

import threading
from collections.abc import Iterator

import pytest

from indexer.images.decode import Limits
from indexer.pipeline import read_ahead
from indexer.pipeline.read_ahead import Ahead, ReadAhead
from indexer.sources.source import State
from indexer.store.rows import Task
from support.waiting import wait_until

MIB = 2**20


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Task]]:
    """The tasks whose reading has begun; it ends with the test."""
    started: list[Task] = []
    end = threading.Event()

    def read(task: Task, limits: Limits) -> tuple[State, bytes]:
        started.append(task)
        assert end.wait(60)
        return State(task.size, task.mtime_ns), b""

    monkeypatch.setattr(read_ahead, "read_task", read)
    yield started
    end.set()


def tasks(folder: bytes, sizes: list[int]) -> Iterator[Task]:
    return (Task(1, folder, b"%d.jpg" % at, size, 0) for at, size in enumerate(sizes))


def taken(ahead: ReadAhead) -> list[Ahead]:
    found = []
    while (one := ahead.take()) is not None:
        found.append(one)
    return found


def test_remote_files_are_read_before_they_are_asked_for(begun: list[Task]) -> None:
    ahead = ReadAhead(tasks(b"s3://bucket", [MIB] * 10), Limits())
    found = taken(ahead)
    assert len(found) == 10
    wait_until(lambda: len(begun) == 10)
    assert all(one.fetch is not None for one in found)


def test_files_on_drives_are_left_to_their_decoders(begun: list[Task]) -> None:
    ahead = ReadAhead(tasks(b"/photos", [MIB] * 10), Limits())
    assert [one.fetch for one in taken(ahead)] == [None] * 10
    assert ahead.readers == 0
    assert not begun


def test_bytes_that_are_held_are_bounded(begun: list[Task]) -> None:
    sizes = [40 * MIB] * 8
    ahead = ReadAhead(tasks(b"s3://bucket", sizes), Limits())
    found = taken(ahead)
    assert [one.size for one in found] == [40 * MIB] * 3
    ahead.done(found[0])
    assert len(taken(ahead)) == 1
    assert ahead.take() is None


def test_large_file_and_one_of_unknown_size_come_alone(begun: list[Task]) -> None:
    ahead = ReadAhead(tasks(b"s3://bucket", [200 * MIB, -1, 1, 1]), Limits())
    (large,) = taken(ahead)
    ahead.done(large)
    (unknown,) = taken(ahead)
    assert unknown.size == Limits().max_bytes
    ahead.done(unknown)
    assert [one.size for one in taken(ahead)] == [1, 1]


def test_file_that_is_too_large_to_be_read_does_not_count_for_more(begun: list[Task]) -> None:
    ahead = ReadAhead(tasks(b"s3://bucket", [10**12, 1]), Limits(max_bytes=1000))
    assert [one.size for one in taken(ahead)] == [1000, 1]
