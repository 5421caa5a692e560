"""A place that is away is not a deletion, and a living copy is shown rather than a dead path."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.command import Run, json_lines
from support.images import make_photo


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(3):
        make_photo(tmp_path / "photos" / "2024" / f"{number}.png", number)
    return tmp_path / "photos"


def hits(clipdex: Run, *arguments: object) -> list[dict[str, object]]:
    return json_lines(clipdex("search", "colours", "-k", 100, "--json", *arguments))


def report(clipdex: Run, *arguments: object, code: int = 0) -> dict[str, int]:
    (last,) = json_lines(clipdex("index", *arguments, "--json", code=code))
    counted = ("indexed", "reused", "unchanged", "removed", "failed")
    return {key: last[key] for key in counted if last[key]}


def test_a_renamed_root_is_the_same_root(clipdex: Run, photos: Path, tmp_path: Path) -> None:
    report(clipdex, photos, "--exclude", "/2024/2.png")
    clipdex("tags", "add", "pear", photos)
    clipdex("forget", photos / "2024" / "1.png")
    os.rename(photos, tmp_path / "pictures")
    (tmp_path / "photos").mkdir()  # a mount point that is left behind
    done = clipdex("index", tmp_path / "pictures", "--json")
    assert b"renamed, or mounted elsewhere" in done.stderr
    (last,) = json_lines(done)
    assert (last["unchanged"], last["indexed"], last["removed"]) == (1, 0, 0)
    (hit,) = hits(clipdex)
    assert hit["paths"] == [str(tmp_path / "pictures" / "2024" / "0.png")]
    (status,) = json_lines(clipdex("status", "--json"))
    assert (status["images"], status["roots"]) == (1, [str(tmp_path / "pictures")])


def test_a_copy_elsewhere_is_no_rename(clipdex: Run, photos: Path, tmp_path: Path) -> None:
    report(clipdex, photos)
    shutil.copytree(photos, tmp_path / "backup")
    assert report(clipdex, tmp_path / "backup") == {"reused": 3}
    (status,) = json_lines(clipdex("status", "--json"))
    assert status["roots"] == [str(tmp_path / "backup"), str(photos)]


def test_living_copies_come_before_dead_paths(clipdex: Run, photos: Path, tmp_path: Path) -> None:
    report(clipdex, photos)
    shutil.copytree(photos, tmp_path / "copies", copy_function=shutil.copyfile)
    report(clipdex, tmp_path / "copies")
    clipdex("tags", "add", "pear", photos / "2024")
    assert all(len(hit["paths"]) == 2 for hit in hits(clipdex))  # type: ignore[arg-type]
    assert len(json_lines(clipdex("duplicates", "--json"))) == 3
    os.rename(photos, tmp_path / "unplugged")
    for hit in hits(clipdex):
        assert [hit["path"]] == hit["paths"]
        assert Path(str(hit["path"])).is_file()
    assert json_lines(clipdex("duplicates", "--json")) == []
    labelled = json_lines(clipdex("label", "--labels", "cat,dog", "--json"))
    assert len(labelled) == 3
    assert len(json_lines(clipdex("tags", "export", "--json"))) == 3
    shutil.rmtree(tmp_path / "copies")
    for hit in hits(clipdex):
        assert len(hit["paths"]) == 2, "where no file is left, all that are known"  # type: ignore[arg-type]


def test_a_link_to_an_unplugged_drive_removes_nothing(
    clipdex: Run, photos: Path, tmp_path: Path
) -> None:
    make_photo(tmp_path / "drive" / "far.png", 9)
    (photos / "usb").symlink_to(tmp_path / "drive")
    assert report(clipdex, photos) == {"indexed": 4}
    for leave_behind in (False, True):
        os.rename(tmp_path / "drive", tmp_path / "elsewhere")
        if leave_behind:
            (tmp_path / "drive").mkdir()
        assert report(clipdex, photos, code=3) == {"unchanged": 3, "failed": 1}
        (status,) = json_lines(clipdex("status", "--json"))
        assert (status["images"], status["failed"]) == (4, 1)
        assert b"is away" in clipdex("status").stdout
        if leave_behind:
            (tmp_path / "drive").rmdir()
        os.rename(tmp_path / "elsewhere", tmp_path / "drive")
        assert report(clipdex, photos) == {"unchanged": 4}
        (status,) = json_lines(clipdex("status", "--json"))
        assert (status["images"], status["failed"]) == (4, 0)
    (photos / "usb").unlink()
    assert report(clipdex, photos) == {"unchanged": 3, "removed": 1}


MOUNTED = """
set -e
mount --bind {drive} {point}
exec "$@"
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a folder as Linux does")
@pytest.mark.parametrize("point_vanishes", [False, True])
def test_a_nested_drive_that_is_unplugged_removes_nothing(
    clipdex: Run, photos: Path, tmp_path: Path, point_vanishes: bool
) -> None:
    make_photo(tmp_path / "drive" / "far.png", 9)
    make_photo(tmp_path / "drive" / "deep" / "farther.png", 10)
    point = photos / "usb"
    point.mkdir()
    script = MOUNTED.format(drive=tmp_path / "drive", point=point)
    mounted = ["unshare", "--mount", "sh", "-c", script, "sh"]
    if subprocess.run([*mounted, "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    index = ["index", photos, "--json"]
    (last,) = json_lines(clipdex(*index, prefix=mounted))
    assert last["indexed"] == 5
    if point_vanishes:
        point.rmdir()
    (last,) = json_lines(clipdex(*index, code=3))
    assert (last["unchanged"], last["removed"], last["failed"]) == (3, 0, 1)
    assert len(hits(clipdex)) == 5
    point.mkdir(exist_ok=True)
    (last,) = json_lines(clipdex(*index, prefix=mounted))
    assert (last["unchanged"], last["failed"]) == (5, 0)
    (tmp_path / "drive" / "far.png").unlink()
    (last,) = json_lines(clipdex(*index, prefix=mounted))
    assert (last["unchanged"], last["removed"]) == (4, 1)
    assert b"files forgotten" in clipdex("forget", point).stdout
    (last,) = json_lines(clipdex(*index))
    assert (last["unchanged"], last["failed"]) == (3, 0)


def test_images_deleted_by_their_owner_are_removed(clipdex: Run, photos: Path) -> None:
    make_photo(photos / "2023" / "old.png", 8)
    report(clipdex, photos)
    (photos / "2023" / "old.png").unlink()  # an empty folder stays
    assert report(clipdex, photos) == {"unchanged": 3, "removed": 1}
