import os
from pathlib import Path

import pytest

from indexer.store.records import file_time
from indexer.store.rows import StoredFile
from serving.images.safe_open import read_first
from serving.services.errors import NotFound


def stored(path: Path) -> StoredFile:
    info = os.stat(path)
    return StoredFile(os.fsencode(path), info.st_size, file_time(info))


def test_the_first_file_that_is_as_indexed_is_read(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    files = [stored(tmp_path / "a.jpg"), stored(tmp_path / "b.jpg")]
    assert read_first(files, [os.fsencode(tmp_path)]) == (files[0], b"a.jpg")
    (tmp_path / "a.jpg").unlink()
    assert read_first(files, [os.fsencode(tmp_path)]) == (files[1], b"b.jpg")
    with pytest.raises(NotFound, match="index again"):
        read_first(files, [os.fsencode(tmp_path / "elsewhere")])


def test_a_file_of_the_year_2300_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"an image")
    os.utime(path, (10_413_792_000, 10_413_792_000))
    assert read_first([stored(path)], [os.fsencode(tmp_path)])[1] == b"an image"
