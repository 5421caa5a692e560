"""Archives against what zipfile and tarfile unpack, and hostile ones."""

import io
import os
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("fsspec", reason="fsspec is not installed")

from indexer.errors import ImageError, RootUnavailable
from indexer.images.decode import Limits
from indexer.sources import opened
from indexer.sources.archive import Archive
from indexer.sources.opened import open_source
from indexer.sources.reading import read_location, read_task
from indexer.sources.source import Source
from indexer.store.rows import Task

FILES = {
    "a.jpg": b"one" * 100,
    "b/c.jpg": b"two" * 5000,
    "b/d/e.jpg": b"",
    "b/d/\u00e9.jpg": bytes(range(256)),
}


def zipped(file: Path, method: int = zipfile.ZIP_DEFLATED) -> Source:
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    return open_source(f"zip://::file://{file}".encode(), current=True)


def walked(source: Source, folder: bytes = b"") -> list[bytes]:
    found = []
    for entry in source.entries(folder):
        path = folder + b"/" + entry.name if folder else entry.name
        found += walked(source, path) if entry.state is None else [path]
    return sorted(found)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip_is_read_as_zipfile_does(method: int, tmp_path: Path) -> None:
    source = zipped(tmp_path / "all.zip", method)
    assert walked(source) == sorted(name.encode() for name in FILES)
    for name, data in FILES.items():
        assert source.read(name.encode(), 10**6) == data
        assert source.read(name.encode(), 7) == data[:7]
        state = source.entry(name.encode()).state
        assert state is not None
        assert state.size == len(data)
    with pytest.raises(FileNotFoundError):
        source.read(b"b/none.jpg", 1)
    with pytest.raises(FileNotFoundError):
        source.entries(b"none")


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_is_read_as_tarfile_does(form: int, tmp_path: Path) -> None:
    file = tmp_path / "0001.tar"
    long = "x" * 90 + "/" + "y" * 90 + ".jpg"
    files = {**FILES, "./dot/" + long: b"long", "a.jpg": b"the first a"}
    with tarfile.open(file, "w", format=form) as archive:
        for name, data in [*files.items(), ("a.jpg", b"the second a")]:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1_700_000_000
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    source = open_source(f"tar://::file://{file}".encode())
    assert walked(source) == sorted(name.encode() for name in (*FILES, "dot/" + long))
    assert source.read(b"a.jpg", 100) == b"the second a"
    assert source.read(b"b/c.jpg", 10**6) == FILES["b/c.jpg"]
    state = source.entry(b"a.jpg").state
    assert state is not None
    assert state.mtime_ns // 10**9 == 1_700_000_000


def test_names_that_lead_out_of_an_archive_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "all.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("../up.jpg", "/root.jpg", "a/../../b.jpg", "./fine.jpg"):
            archive.writestr(name, b"x")
    assert walked(open_source(f"zip://::file://{file}".encode())) == [b"fine.jpg"]


def test_bomb_gives_no_more_than_it_says(tmp_path: Path) -> None:
    file = tmp_path / "bomb.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", bytes(50_000_000))
    data = bytearray(file.read_bytes())
    # The size of the file as the table of contents has it.
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = struct.pack("<I", 1000)
    file.write_bytes(data)
    root = f"zip://::file://{file}".encode()
    with pytest.raises(ImageError, match="it has changed"):
        read_location(root + b"/a.jpg", Limits())
    assert len(open_source(root).read(b"a.jpg", 1001)) == 1001


def test_damage_is_found_by_the_checksum(tmp_path: Path) -> None:
    file = tmp_path / "all.zip"
    zipped(file, zipfile.ZIP_STORED)
    data = bytearray(file.read_bytes())
    data[data.index(b"oneone") + 1] ^= 1
    file.write_bytes(data)
    with pytest.raises(ImageError, match="its checksum differs"):
        read_location(f"zip://::file://{file}/a.jpg".encode(), Limits())


def test_changed_archive_is_opened_again(tmp_path: Path) -> None:
    file = tmp_path / "all.zip"
    zipped(file)
    root = f"zip://::file://{file}".encode()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("other.jpg", b"other")
    assert walked(open_source(root, current=True)) == [b"other.jpg"]


def test_encrypted_and_unusual_files_say_so(tmp_path: Path) -> None:
    file = tmp_path / "all.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.jpg", b"x" * 1000)
    (entry,) = open_source(f"zip://::file://{file}".encode(), current=True).entries(b"")
    assert entry.reason == "compressed by method 12, which is not read"
    data = bytearray(file.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    file.write_bytes(data)
    (entry,) = open_source(f"zip://::file://{file}".encode(), current=True).entries(b"")
    assert entry.reason == "encrypted"


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_no_archive_is_an_error_of_the_root(kind: str, tmp_path: Path) -> None:
    file = tmp_path / f"no.{kind}"
    file.write_bytes(b"no archive" * 100)
    with pytest.raises(OSError, match=f"not a .{kind} that can be read"):
        open_source(f"{kind}://::file://{file}".encode())
    with pytest.raises(OSError, match="it is a folder"):
        open_source(f"{kind}://::file://{tmp_path}".encode())


def test_file_that_is_larger_than_allowed_is_not_read(tmp_path: Path) -> None:
    zipped(tmp_path / "all.zip")
    root = f"zip://::file://{tmp_path}/all.zip".encode()
    state = open_source(root).entry(b"b/c.jpg").state
    assert state is not None
    with pytest.raises(ImageError, match="--max-bytes"):
        read_task(Task(1, root, b"b/c.jpg", *state), Limits(max_bytes=14_999))
    assert read_task(Task(1, root, b"b/c.jpg", *state), Limits(max_bytes=15_000))[0] == state


def test_url_that_is_not_read_fails_a_file_and_no_run() -> None:
    with pytest.raises(ImageError, match="is not read"):
        read_location(b"teapot://host/a.jpg", Limits())
    with pytest.raises(RootUnavailable):
        open_source(b"teapot://host")


def test_tables_of_contents_are_kept_as_far_as_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[bytes, Archive] = {}
    monkeypatch.setattr(opened, "_archives", kept)
    monkeypatch.setattr(opened, "KEPT", 2 * len(FILES))
    for number in range(4):
        zipped(tmp_path / f"{number}.zip")
    assert [name[-5:] for name in kept] == [b"2.zip", b"3.zip"]


def test_forked_process_opens_everything_itself(tmp_path: Path) -> None:
    zipped(tmp_path / "all.zip")
    assert opened._files
    child = os.fork()
    if not child:
        os._exit(len(opened._files) + len(opened._archives))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert opened._files
