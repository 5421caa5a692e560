from pathlib import Path

import pytest

from indexer.errors import RootUnavailable
from indexer.sources.url import Url, absolute, canonical
from indexer.store.paths import is_absolute, is_url


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("s3://bucket/prefix/", b"s3://bucket/prefix"),
        ("S3A://Bucket", b"s3://Bucket"),
        ("gcs://bucket/a b/\u00e9", "gs://bucket/a b/\u00e9".encode()),
        ("https://host:8080/photos/", b"https://host:8080/photos"),
        ("sftp://me@host/photos", b"sftp://me@host/photos"),
        ("zip:///photos/all.zip", b"zip://::file:///photos/all.zip"),
        ("zip://::/photos/all.zip", b"zip://::file:///photos/all.zip"),
        ("zip://2024/a.jpg::file:///photos/all.zip", b"zip://::file:///photos/all.zip/2024/a.jpg"),
        ("zip:///photos/all.zip/2024/a.jpg", b"zip://::file:///photos/all.zip/2024/a.jpg"),
        ("tar://::s3://bucket/0001.tar", b"tar://::s3://bucket/0001.tar"),
        ("tar://s3://bucket/0001.tar/a.jpg", b"tar://::s3://bucket/0001.tar/a.jpg"),
        ("zip://a/::s3a://bucket/x.cbz", b"zip://::s3://bucket/x.cbz/a"),
    ],
)
def test_ways_to_write_one_url_are_kept_alike(typed: str, kept: bytes) -> None:
    assert canonical(typed) == kept
    assert canonical(kept) == kept or not typed.endswith(".cbz")
    assert is_url(kept)
    assert is_absolute(kept)


def test_archive_in_a_folder_that_is_named_like_one(tmp_path: Path) -> None:
    (tmp_path / "old.zip").mkdir()
    url = Url.parse(f"zip://{tmp_path}/old.zip/new.zip/a.jpg")
    assert (url.place, url.below) == (f"file://{tmp_path}/old.zip/new.zip", b"a.jpg")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("teapot://host/x", "teapot:// is not read"),
        ("file:///etc", "give the path itself"),
        ("shell://rm", "is not read"),
        ("simplecache://::s3://bucket/x", "is not read"),
        ("s3://", "names no bucket"),
        ("s3://bucket//x", "an empty part"),
        ("s3://bucket/../x", "one of dots"),
        ("https://user@host/x", "password"),
        ("ftp://user:word@host/x", "password"),
        ("https://host/x?key=word", "query"),
        ("zip://::zip://::s3://bucket/a.zip", "inside another"),
        ("zip://../../x::s3://bucket/a.zip", "not a path inside"),
        ("tar:///photos/all.tar.gz", "compressed as a whole"),
        ("zip://::https://user:word@host/a.zip", "password"),
    ],
)
def test_url_that_is_not_read_is_refused(typed: str, words: str) -> None:
    with pytest.raises(RootUnavailable, match=words) as refused:
        Url.parse(typed)
    assert "word@" not in str(refused.value)
    assert "key=word" not in str(refused.value)


@pytest.mark.parametrize("path", ["/photos/s3://x", "photos", "C:\\photos", "a:/b", "./s3://x"])
def test_paths_are_no_urls(path: str) -> None:
    assert not is_url(path.encode())


def test_absolute_leaves_urls_alone_and_follows_links(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    assert absolute(tmp_path / "link") == str(tmp_path / "there").encode()
    assert absolute(tmp_path / "link", followed=False) == str(tmp_path / "link").encode()
    assert absolute("s3://bucket/a/") == b"s3://bucket/a"
