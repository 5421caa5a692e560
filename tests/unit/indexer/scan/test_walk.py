import os
from pathlib import Path

from indexer.scan.walk import Found, Unreadable, walk

JPEG = b"\xff\xd8\xff\xe0 and so on"


def put(path: Path, data: bytes = b"x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def paths(root: Path, **options: object) -> list[bytes]:
    return [entry.path for entry in walk(root, **options)]  # type: ignore[arg-type]


def test_walk_order(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.PNG", "sub/c.webp", "another/d.tif"):
        put(tmp_path / name)
    assert paths(tmp_path) == [b"a.PNG", b"b.jpg", b"another/d.tif", b"sub/c.webp"]


def test_hidden_excluded_and_foreign_files_are_left_out(tmp_path: Path) -> None:
    for name in (".hidden.jpg", ".git/x.jpg", "@eaDir/x.jpg", "notes.txt", "a.jpg", "raw/b.jpg"):
        put(tmp_path / name)
    put(tmp_path / "thumbs" / "c.jpg")
    assert paths(tmp_path, exclude=["thumbs", "raw/*"]) == [b"a.jpg"]


def test_the_collection_inside_the_root_is_left_out(tmp_path: Path) -> None:
    put(tmp_path / "index" / "x.jpg")
    put(tmp_path / "a.jpg")
    assert paths(tmp_path, skip=tmp_path / "index") == [b"a.jpg"]


def test_magic_bytes_without_extension(tmp_path: Path) -> None:
    put(tmp_path / "photo", JPEG)
    put(tmp_path / "README", b"hello")
    assert paths(tmp_path) == [b"photo"]


def test_links_are_followed_once(tmp_path: Path) -> None:
    put(tmp_path / "real" / "a.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "up").symlink_to(tmp_path)
    (tmp_path / "self.jpg").symlink_to(tmp_path / "self.jpg")
    assert paths(tmp_path) == [b"link/a.jpg", b"real/a.jpg"]


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
