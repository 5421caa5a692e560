"""The user's own folders: where platformdirs says, though it is not imported for them on Linux."""

import os
import sys
from pathlib import Path
from typing import Literal

import platformdirs
import pytest

from indexer.errors import HomeUnknown
from indexer.user_folders import make_runtime_folder, runtime_folder, user_folder

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no folder for sockets")


@pytest.mark.parametrize("kind", ["data", "cache"])
@pytest.mark.parametrize("value", [None, "", " ", "/elsewhere", "/else where/ä"])
def test_folders_are_those_of_platformdirs(
    kind: Literal["data", "cache"], value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
        if value is not None:
            monkeypatch.setenv(variable, value)
    find = platformdirs.user_data_path if kind == "data" else platformdirs.user_cache_path
    assert user_folder(kind, "") == find("clipdex", appauthor=False)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere they do not depend on variables")
@pytest.mark.parametrize("value", ["relative", "~/elsewhere"])
def test_a_relative_folder_is_none(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    with pytest.raises(HomeUnknown, match="use this"):
        user_folder("cache", "use this")


@posix
@pytest.mark.parametrize("variable", ["XDG_RUNTIME_DIR", "TMPDIR"])
def test_sockets_lie_where_only_the_user_may_go(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "missing"))
    tmp_path.chmod(0o700)
    monkeypatch.setenv(variable, str(tmp_path))
    assert runtime_folder() is None
    make_runtime_folder()
    folder = runtime_folder()
    assert folder is not None
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o750)
    assert runtime_folder() is None
    folder.rmdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    folder.symlink_to(elsewhere)
    assert runtime_folder() is None
    folder.unlink()
    make_runtime_folder()
    tmp_path.chmod(0o777)  # anyone could put another folder in its place
    assert runtime_folder() is None
