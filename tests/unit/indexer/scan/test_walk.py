import os
from pathlib import Path

import pytest

from indexer.scan.exclusions import Rules, parse
from indexer.scan.mounts import Mounts
from indexer.scan.walk import Elsewhere, Found, Other, Unreadable, walk

JPEG = b"\xff\xd8\xff\xe0 and so on"


def put(path: Path, data: bytes = b"x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def paths(root: Path, **options: object) -> list[bytes]:
    found = walk(root, **options)  # type: ignore[arg-type]
    return [entry.path for entry in found if isinstance(entry, Found | Unreadable)]


def test_walk_order(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.PNG", "sub/c.webp", "another/d.tif"):
        put(tmp_path / name)
    assert paths(tmp_path) == [b"a.PNG", b"b.jpg", b"another/d.tif", b"sub/c.webp"]


def test_hidden_excluded_and_foreign_files_are_left_out(tmp_path: Path) -> None:
    for name in (".hidden.jpg", ".git/x.jpg", "@eaDir/x.jpg", "notes.txt", "a.jpg", "raw/b.jpg"):
        put(tmp_path / name)
    put(tmp_path / "thumbs" / "c.jpg")
    rules = [rule for text in ("thumbs", "raw/*") for rule in parse(text, [tmp_path])]
    exclusions = Rules(rules).of(os.fsencode(tmp_path))
    assert paths(tmp_path, exclusions=exclusions) == [b"a.jpg"]


def test_the_collection_inside_the_root_is_left_out(tmp_path: Path) -> None:
    put(tmp_path / "index" / "x.jpg")
    put(tmp_path / "a.jpg")
    assert paths(tmp_path, skip=tmp_path / "index") == [b"a.jpg"]


def test_first_bytes_decide_whatever_the_name(tmp_path: Path) -> None:
    for name in ("photo", "Screenshot at 10.30.45", "photo.jpg_large", "photo.pjpeg", "photo.txt"):
        put(tmp_path / name, JPEG)
    put(tmp_path / "README", b"hello")
    put(tmp_path / "empty", b"")
    found = list(walk(tmp_path))
    assert [entry.path for entry in found if isinstance(entry, Other)] == [b"README"]
    assert {entry.path for entry in found if isinstance(entry, Found)} == {
        b"photo", b"Screenshot at 10.30.45", b"photo.jpg_large", b"photo.pjpeg", b"photo.txt"
    }  # fmt: skip


def test_known_other_files_are_not_opened_again(tmp_path: Path) -> None:
    put(tmp_path / "README", b"hello")
    (other,) = walk(tmp_path)
    (tmp_path / "README").chmod(0)
    assert list(walk(tmp_path, known_other=lambda file: file == other)) == []


def test_a_folder_is_walked_once_by_its_own_path(tmp_path: Path) -> None:
    put(tmp_path / "real" / "a.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "up").symlink_to(tmp_path)
    (tmp_path / "self.jpg").symlink_to(tmp_path / "self.jpg")
    assert paths(tmp_path) == [b"real/a.jpg"]


def test_links_out_of_the_root_are_followed_and_named(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere" / "a.jpg")
    root = tmp_path / "photos"
    put(root / "z" / "b.jpg")
    (root / "link").symlink_to(tmp_path / "elsewhere")
    found = list(walk(root))
    assert [entry.path for entry in found if isinstance(entry, Found)] == [
        b"z/b.jpg", b"link/a.jpg"
    ]  # fmt: skip
    assert Elsewhere(b"link", "link") in found


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="this system has no /proc")
def test_links_to_pseudo_file_systems_and_to_parents_are_not_followed(tmp_path: Path) -> None:
    put(tmp_path / "other" / "far.jpg")
    root = tmp_path / "photos"
    put(root / "a.jpg")
    for number, target in enumerate(("/proc", "/proc/self/root", "/sys", "/", tmp_path, root)):
        (root / f"link{number}").symlink_to(target)
    assert paths(root) == [b"a.jpg"]
    with pytest.raises(OSError, match="the system's own"):
        list(walk(Path("/proc")))


def test_mounts_are_parsed(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_bytes(
        b"22 1 0:21 / /proc rw,nosuid - proc proc rw\n"
        b"30 1 8:1 / /media/my\\040drive rw shared:1 - ext4 /dev/sda1 rw\n"
        b"nonsense\n"
    )
    mounts = Mounts.now(table)
    assert mounts.points == {b"/proc", b"/media/my drive"}
    assert mounts.pseudo == {os.makedev(0, 21)}
    assert Mounts.now(tmp_path / "missing") == Mounts()


def test_a_link_to_what_is_left_out_is_left_out(tmp_path: Path) -> None:
    put(tmp_path / "Private" / "a.jpg")
    (tmp_path / "shortcut").symlink_to(tmp_path / "Private")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "Private" / "a.jpg")
    exclusions = Rules(parse("Private/", [tmp_path])).of(os.fsencode(tmp_path))
    assert paths(tmp_path, exclusions=exclusions) == []


@pytest.mark.parametrize("year", [1600, 2300, 9999])
def test_times_that_the_catalog_cannot_hold_are_cut(tmp_path: Path, year: int) -> None:
    put(tmp_path / "a.jpg")
    seconds = (year - 1970) * 31_556_952
    try:
        os.utime(tmp_path / "a.jpg", (seconds, seconds))
    except (OSError, OverflowError):
        pytest.skip("this file system does not keep such times")
    (entry,) = walk(tmp_path)
    assert isinstance(entry, Found)
    assert -(2**63) < entry.mtime_ns < 2**63


def test_a_fifo_is_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe")
    assert paths(tmp_path) == []


def test_undecodable_names_are_found(tmp_path: Path) -> None:
    name = b"caf\xe9.jpg"
    with open(os.path.join(os.fsencode(tmp_path), name), "wb"):
        pass
    assert paths(tmp_path) == [name]


def test_a_subfolder_keeps_paths_relative_to_the_root(tmp_path: Path) -> None:
    put(tmp_path / "a.jpg")
    put(tmp_path / "sub" / "b.jpg", b"four")
    assert paths(tmp_path, below=b"sub") == [b"sub/b.jpg"]
    (entry,) = walk(tmp_path, below=b"sub/b.jpg")
    assert isinstance(entry, Found)
    assert (entry.path, entry.size) == (b"sub/b.jpg", 4)


def test_an_unreadable_folder_has_a_reason(tmp_path: Path) -> None:
    put(tmp_path / "a.jpg")
    (tmp_path / ("d" * 200)).mkdir()
    deep = tmp_path / ("d" * 200)
    real = os.scandir

    def refuse(path: bytes) -> object:
        if path == os.fsencode(deep):
            raise PermissionError(13, "Permission denied")
        return real(path)

    os.scandir = refuse  # type: ignore[assignment]
    try:
        entries = list(walk(tmp_path))
    finally:
        os.scandir = real
    assert entries[1] == Unreadable(
        os.fsencode(deep.name), "folder cannot be read: Permission denied"
    )
