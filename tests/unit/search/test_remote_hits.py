from pathlib import Path

import pytest

from indexer.store.paths import existing
from search import Hit


def hit(path: bytes) -> Hit:
    return Hit(1, 1, (path,), 0.5, 0.5, 10, 10)


def test_files_that_are_gone_give_way_to_urls(tmp_path: Path) -> None:
    (tmp_path / "here.jpg").touch()
    here = str(tmp_path / "here.jpg").encode()
    assert existing([b"/nowhere/a.jpg", b"s3://bucket/a.jpg"]) == [1]
    assert existing([b"/nowhere/a.jpg", here, b"s3://bucket/a.jpg"]) == [1, 2]
    assert existing([b"/nowhere/a.jpg", b"/nowhere/b.jpg"]) == [0, 1]


def test_urls_are_no_files() -> None:
    with pytest.raises(ValueError, match="not a file of this machine"):
        assert hit(b"s3://bucket/a.jpg").file
    assert hit(b"/photos/a.jpg").file == Path("/photos/a.jpg")


def test_terminals_open_files_and_web_pages() -> None:
    assert hit(b"/photos/a b.jpg").link == "file:///photos/a%20b.jpg"
    assert hit(b"s3://bucket/a.jpg").link is None
    assert hit(b"https://host/a%20b.jpg").link == "https://host/a%20b.jpg"
    assert hit(b"https://host/a\x1b]8;;\x07 b.jpg").link == "https://host/a%1B%5D8;;%07%20b.jpg"
