"""How much memory there is, in containers too."""

from pathlib import Path

import pytest

from indexer.devices import memory
from indexer.devices.memory import available_memory


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_machine", lambda: 1000)


def write(folder: Path, name: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_the_tightest_limit_of_the_groups_above_counts(tmp_path: Path) -> None:
    own, mounted = tmp_path / "cgroup", tmp_path / "mounted"
    own.write_text("0::/pod/container\n")
    write(mounted / "pod", "memory.max", "700\n")
    write(mounted / "pod" / "container", "memory.max", "max\n")
    assert available_memory(mounted, own) == 700


def test_the_older_kind_of_groups_is_read_too(tmp_path: Path) -> None:
    own, mounted = tmp_path / "cgroup", tmp_path / "mounted"
    own.write_text("7:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n")
    write(mounted / "memory" / "docker" / "1", "memory.limit_in_bytes", "300\n")
    write(mounted / "memory", "memory.limit_in_bytes", "9223372036854771712\n")
    assert available_memory(mounted, own) == 300


@pytest.mark.parametrize("text", ["max\n", "-1\n", "", "nonsense\n", "5000\n"])
def test_without_a_limit_it_is_the_machines(tmp_path: Path, text: str) -> None:
    own, mounted = tmp_path / "cgroup", tmp_path / "mounted"
    assert available_memory(mounted, own) == 1000
    own.write_text("0::/\n")
    write(mounted, "memory.max", text)
    assert available_memory(mounted, own) == 1000


def test_this_machine_has_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert available_memory() > 2**20
