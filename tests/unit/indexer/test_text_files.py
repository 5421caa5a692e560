import os
import threading
from pathlib import Path

import pytest

from indexer import text_files
from indexer.text_files import read_bytes, read_text


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 3_000_000)
    assert len(read_bytes(file, megabytes=3)) == 3_000_000
    with pytest.raises(OSError, match="more than 2 MB"):
        read_bytes(file, megabytes=2)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_editors_encodings_are_read(encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("caf\u00e9\n", encoding=encoding)
    assert read_text(file) == "caf\u00e9\n"


def test_a_pipe_waits_for_its_writer(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Timer(0.3, lambda: pipe.write_bytes(b"word\n" * 100_000))
    writer.start()
    assert read_text(pipe) == "word\n" * 100_000
    writer.join()


def test_pipes_that_say_nothing_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "OPEN_SECONDS", 0.1)
    monkeypatch.setattr(text_files, "SILENT_SECONDS", 0.1)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="nothing came"):
        read_text(pipe)
    silent = os.open(pipe, os.O_RDWR)
    with pytest.raises(OSError, match="nothing came"):
        read_text(pipe)
    os.close(silent)


def test_what_is_no_file_is_refused_where_one_is_meant(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", Path("/dev/zero"), Path("/dev/null"), tmp_path):
        with pytest.raises(OSError, match="regular|directory"):
            read_bytes(place, pipes=False)
    assert read_bytes(Path("/dev/null")) == b""
