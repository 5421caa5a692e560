"""How many cores there are, in containers too."""

import os
from pathlib import Path

import pytest

from indexer.devices import cpu_count
from indexer.devices.cpu_count import available_cores, processor_quota


def write(folder: Path, name: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_the_tightest_quota_of_the_groups_above_counts(tmp_path: Path) -> None:
    own, mounted = tmp_path / "cgroup", tmp_path / "mounted"
    own.write_text("0::/pod/container\n")
    write(mounted / "pod", "cpu.max", "150000 100000\n")
    write(mounted / "pod" / "container", "cpu.max", "max 100000\n")
    assert processor_quota(mounted, own) == 1.5


def test_the_older_kind_of_groups_is_read_too(tmp_path: Path) -> None:
    own, mounted = tmp_path / "cgroup", tmp_path / "mounted"
    own.write_text("7:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n")
    write(mounted / "cpu,cpuacct" / "docker" / "1", "cpu.cfs_quota_us", "50000\n")
    write(mounted / "cpu,cpuacct" / "docker" / "1", "cpu.cfs_period_us", "100000\n")
    assert processor_quota(mounted, own) == 0.5


@pytest.mark.parametrize("text", ["max 100000\n", "-1 100000\n", "", "nonsense\n"])
def test_without_a_limit_there_is_none(tmp_path: Path, text: str) -> None:
    own, mounted = tmp_path / "cgroup", tmp_path / "mounted"
    assert processor_quota(mounted, own) is None
    own.write_text("0::/\n")
    write(mounted, "cpu.max", text)
    assert processor_quota(mounted, own) is None


def test_a_quota_bounds_the_cores_and_never_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    for quota, expected in ((None, 64), (1.5, 2), (0.2, 1), (100.0, 64)):
        monkeypatch.setattr(cpu_count, "processor_quota", lambda quota=quota: quota)
        assert available_cores() == expected
