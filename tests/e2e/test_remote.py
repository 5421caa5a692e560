"""Folders in an object store, on a web server and in archives: indexed, searched and served."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("moto", reason="moto, an S3 for tests, is not installed")
pytest.importorskip("s3fs", reason="s3fs is not installed")

from indexer import build, forget
from indexer.errors import RootUnavailable
from indexer.images.decode import Limits
from indexer.merge_collections import merge
from indexer.pipeline.embed_files import tasks_of
from indexer.sources import opened, trouble
from indexer.store.catalog import Catalog
from indexer.store.collection import Collection
from indexer.testing import FakeEncoder
from search import Engine
from search.filters.filter import Filter
from support.command import REPOSITORY, Run, json_lines
from support.images import make_photo
from support.object_store import KEYS, ObjectStore, object_store
from support.servers import serving
from support.terminal import in_terminal
from support.unsteady import Unsteady, unsteady

PHOTOS = 12


@pytest.fixture(scope="module")
def s3() -> Iterator[ObjectStore]:
    with object_store() as running:
        yield running


@pytest.fixture
def proxy(s3: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Unsteady]:
    """What stands before the S3 that this process and its children find."""
    monkeypatch.setattr(trouble, "DELAY", 0.01)
    with unsteady(s3.url) as running:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": running.url}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(opened, "_files", {})
        monkeypatch.setattr(opened, "_archives", {})
        yield running


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for seed in range(PHOTOS):
        make_photo(folder / f"album {seed % 3}" / f"{seed}.png", seed)
    shutil.copy(folder / "album 0" / "0.png", folder / "album 1" / "a copy é.png")
    make_photo(folder / "without.png", 77)
    (folder / "without.png").rename(folder / "without")
    (folder / "album 2" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(50))
    (folder / "notes.txt").write_text("not an image")
    (folder / ".hidden").mkdir()
    make_photo(folder / ".hidden" / "thumb.png", 78)
    return folder


@pytest.fixture
def bucket(s3: ObjectStore, photos: Path, request: pytest.FixtureRequest) -> str:
    """A bucket of this test, with the photos below `holiday/`."""
    name = f"b{abs(hash(request.node.name)):x}"
    s3.upload(photos, name, "holiday/")
    return name


def index(place: str, collection: Path, **options: Any) -> Any:
    return build(place, collection=collection, encoder=FakeEncoder(), **options)


def held(collection: Path, root: str) -> dict[str, Any]:
    """The vectors by what they are of, and what is known of each path below a root."""
    with closing(Catalog.open(Collection(collection))) as catalog:
        digests = catalog.digests(catalog.image_ids())
        return {
            "vectors": {
                digest.hex(): catalog.embedding_by_digest("fake", digest).tobytes()
                for digest in digests.values()
            },
            "files": {
                os.fsdecode(row.path): (row.size, digests.get(row.content), row.reason)
                for row in catalog.stored_files()
            },
            "roots": [os.fsdecode(one) for one in catalog.roots().values()],
        } | {"root": root}


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one["vectors"] == other["vectors"]
    assert one["files"] == other["files"]


def test_bucket_gives_the_vectors_of_the_folder(
    proxy: Unsteady, photos: Path, bucket: str, tmp_path: Path
) -> None:
    there = index(f"s3://{bucket}/holiday", tmp_path / "remote")
    here = index(str(photos), tmp_path / "local")
    assert (there.indexed, there.reused, there.failed) == (PHOTOS + 1, 1, 1)
    assert (here.indexed, here.reused, here.failed) == (PHOTOS + 1, 1, 1)
    remote = held(tmp_path / "remote", "")
    same(remote, held(tmp_path / "local", ""))
    assert remote["roots"] == [f"s3://{bucket}/holiday"]


def test_second_run_reads_no_object(proxy: Unsteady, bucket: str, tmp_path: Path) -> None:
    index(f"s3://{bucket}/holiday/", tmp_path / "c")
    assert len(proxy.reads(".png")) == PHOTOS + 1
    proxy.requests.clear()
    again = index(f"s3://{bucket}/holiday", tmp_path / "c")
    assert (again.indexed, again.unchanged, again.removed) == (0, PHOTOS + 3, 0)
    assert not proxy.reads()
    assert not [path for _, path in proxy.requests if path.endswith("/without")]


def test_changed_added_and_deleted_objects_are_found(
    proxy: Unsteady, s3: ObjectStore, photos: Path, bucket: str, tmp_path: Path
) -> None:
    index(f"s3://{bucket}/holiday", tmp_path / "c")
    client = s3.client
    # Of the same length, and within the same second: only the ETag differs.
    data = bytearray((photos / "album 0" / "3.png").read_bytes())
    at = data.index(b"IDAT") - 4
    data[at:at] = b"\x00\x00\x00\x01tEXta" + (0xA8F26B3A).to_bytes(4, "big")
    client.put_object(Bucket=bucket, Key="holiday/album 0/3.png", Body=bytes(data))
    make_photo(tmp_path / "new.png", 500)
    client.upload_file(str(tmp_path / "new.png"), bucket, "holiday/new.png")
    client.delete_object(Bucket=bucket, Key="holiday/album 0/6.png")
    proxy.requests.clear()
    report = index(f"s3://{bucket}/holiday", tmp_path / "c", prune_vanished=True)
    assert report.removed == 1
    assert sorted(path.rpartition("/")[2] for path in proxy.reads()) == ["3.png", "new.png"]
    files = held(tmp_path / "c", "")["files"]
    assert "new.png" in files
    assert "album 0/6.png" not in files
    assert len(held(tmp_path / "c", "")["vectors"]) == PHOTOS + 1


def test_object_of_the_same_size_and_second_is_read_again(
    proxy: Unsteady, s3: ObjectStore, tmp_path: Path
) -> None:
    client = s3.client
    client.create_bucket(Bucket="twins")
    for seed in (1, 2):
        make_photo(tmp_path / f"{seed}.png", seed)
    one, other = ((tmp_path / f"{seed}.png").read_bytes() for seed in (1, 2))
    length = max(len(one), len(other))
    client.put_object(Bucket="twins", Key="a.png", Body=one.ljust(length, b"\0"))
    index("s3://twins", tmp_path / "c")
    client.put_object(Bucket="twins", Key="a.png", Body=other.ljust(length, b"\0"))
    assert index("s3://twins", tmp_path / "c").indexed == 1


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("away", [False, True])
def test_archive_gives_the_vectors_of_the_folder(
    kind: str, away: bool, proxy: Unsteady, s3: ObjectStore, photos: Path, tmp_path: Path
) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), kind, photos))
    place = f"{kind}://{archive}"
    root = f"{kind}://::file://{archive}"
    if away:
        name = f"archives-{kind}"
        s3.client.create_bucket(Bucket=name)
        s3.client.upload_file(str(archive), name, f"shards/packed.{kind}")
        root = place = f"{kind}://::s3://{name}/shards/packed.{kind}"
    report = index(place, tmp_path / "packed-c")
    assert report.indexed == PHOTOS + 1
    index(str(photos), tmp_path / "local")
    packed = held(tmp_path / "packed-c", "")
    same(packed, held(tmp_path / "local", ""))
    assert packed["roots"] == [root]
    again = index(place, tmp_path / "packed-c")
    assert (again.indexed, again.reused, again.unchanged) == (0, 0, PHOTOS + 3)
    # A part of it is named behind it, or as fsspec does.
    part = index(f"{kind}://album 0::{place.rpartition('::')[2]}" if away else f"{place}/album 0",
                 tmp_path / "part")  # fmt: skip
    assert part.indexed == PHOTOS // 3
    assert held(tmp_path / "part", "")["roots"] == [root]


def test_dropped_connections_are_tried_again(proxy: Unsteady, bucket: str, tmp_path: Path) -> None:
    with proxy.failing(proxy.times(2, "drop", ".png")):
        report = index(f"s3://{bucket}/holiday", tmp_path / "c")
    assert (report.indexed, report.failed) == (PHOTOS + 1, 1)
    assert len(proxy.reads("/5.png")) == 3


def test_connection_that_never_holds_fails_the_file_until_the_next_run(
    proxy: Unsteady, bucket: str, tmp_path: Path
) -> None:
    reasons: list[Any] = []
    with proxy.failing(proxy.times(10**6, "drop", "/5.png")):
        first = index(f"s3://{bucket}/holiday", tmp_path / "c", on_skip=reasons.append)
    assert first.failed == 2
    assert len(proxy.reads("/5.png")) == trouble.ATTEMPTS
    (lost,) = [one for one in reasons if one.path.endswith(b"/5.png")]
    assert lost.path == f"s3://{bucket}/holiday/album 2/5.png".encode()
    assert lost.reason.startswith("cannot be read: ")
    assert index(f"s3://{bucket}/holiday", tmp_path / "c").indexed == 1


def test_object_that_goes_before_it_is_read_is_a_failed_file(
    proxy: Unsteady, bucket: str, tmp_path: Path
) -> None:
    reasons: list[Any] = []
    with proxy.failing(proxy.times(10**6, "lose", "/5.png")):
        report = index(f"s3://{bucket}/holiday", tmp_path / "c", on_skip=reasons.append)
    assert (report.indexed, report.failed) == (PHOTOS, 2)
    assert "cannot be read: it is gone" in [one.reason for one in reasons]
    assert len(proxy.reads("/5.png")) == 1  # nothing is tried again that is gone


def test_object_without_permission_is_a_failed_file(
    proxy: Unsteady, bucket: str, tmp_path: Path
) -> None:
    reasons: list[Any] = []
    with proxy.failing(proxy.times(10**6, "refuse", "/5.png")):
        report = index(f"s3://{bucket}/holiday", tmp_path / "c", on_skip=reasons.append)
    assert (report.indexed, report.failed) == (PHOTOS, 2)
    assert "cannot be read: permission denied" in [one.reason for one in reasons]


def test_listing_that_fails_deletes_nothing(proxy: Unsteady, bucket: str, tmp_path: Path) -> None:
    index(f"s3://{bucket}/holiday", tmp_path / "c")
    before = held(tmp_path / "c", "")
    with (
        proxy.failing(lambda method, path: "refuse"),
        pytest.raises(RootUnavailable, match="permission denied.*Nothing was removed"),
    ):
        index(f"s3://{bucket}/holiday", tmp_path / "c")
    assert held(tmp_path / "c", "") == before


def test_bucket_that_is_suddenly_empty_deletes_nothing(
    proxy: Unsteady, s3: ObjectStore, bucket: str, tmp_path: Path
) -> None:
    for place in (f"s3://{bucket}/holiday", f"s3://{bucket}"):
        index(place, tmp_path / "c")
        before = held(tmp_path / "c", "")
        listed = s3.client.list_objects_v2(Bucket=bucket)["Contents"]
        saved = {
            one["Key"]: s3.client.get_object(Bucket=bucket, Key=one["Key"])["Body"].read()
            for one in listed
        }
        for key in saved:
            s3.client.delete_object(Bucket=bucket, Key=key)
        with pytest.raises(RootUnavailable, match="Nothing was removed"):
            index(place, tmp_path / "c", prune_vanished=True)
        assert held(tmp_path / "c", "") == before
        for key, data in saved.items():
            s3.client.put_object(Bucket=bucket, Key=key, Body=data)


def test_larger_files_than_allowed_are_not_asked_for(
    proxy: Unsteady, photos: Path, bucket: str, tmp_path: Path
) -> None:
    sizes = {file.name: file.stat().st_size for file in (photos / "album 0").iterdir()}
    limit = sorted(sizes.values())[1]
    reasons: list[Any] = []
    report = index(
        f"s3://{bucket}/holiday/album 0", tmp_path / "c",
        limits=Limits(max_bytes=limit), on_skip=reasons.append,
    )  # fmt: skip
    large = {name for name, size in sizes.items() if size > limit}
    assert report.failed == len(large) > 0
    assert all("--max-bytes raises it" in one.reason for one in reasons)
    assert not large & {path.rpartition("/")[2] for path in proxy.reads()}


def test_exclusions_folders_similar_and_forget_work_without_the_network(
    proxy: Unsteady, bucket: str, tmp_path: Path
) -> None:
    root = f"s3://{bucket}/holiday"
    index(root, tmp_path / "c", exclude=["album 1/", f"{root}/album 0/9.png"])
    names = set(held(tmp_path / "c", "")["files"])
    assert not [name for name in names if name.startswith("album 1")]
    assert "album 0/9.png" not in names
    assert "album 0/6.png" in names
    proxy.requests.clear()
    with Engine.open(tmp_path / "c", encoder=FakeEncoder()) as engine:
        hits = engine.search("a dog", k=50, filter=_in(f"{root}/album 2"))
        assert {hit.path for hit in hits} == {
            f"{root}/album 2/{seed}.png" for seed in range(2, PHOTOS, 3)
        }
        assert {hit.path for hit in engine.search("a dog", k=50, filter=_in("album 2"))} == {
            hit.path for hit in hits
        }
        for pattern in ("/album 0", "album 0/", f"{root}/album 0", "holiday/album 0"):
            left = engine.search("a dog", k=50, filter=Filter(exclude=[pattern]))
            assert {hit.path for hit in left} == {hit.path for hit in hits} | {f"{root}/without"}
        like = engine.similar(f"{root}/album 2/2.png", k=3)
        assert f"{root}/album 2/2.png" not in [hit.path for hit in like]
        assert len(like) == 3
        assert engine.copies_of(f"{root}/album 2/2.png") == [f"{root}/album 2/2.png".encode()]
    assert forget(tmp_path / "c", f"{root}/album 2") == PHOTOS // 3 + 1
    assert not [name for name in held(tmp_path / "c", "")["files"] if name.startswith("album 2")]
    assert not proxy.requests
    index(root, tmp_path / "c")
    assert not [name for name in held(tmp_path / "c", "")["files"] if name.startswith("album 2")]


def _in(folder: str) -> Filter:
    return Filter(folders=[folder])


def test_shards_of_a_bucket_are_merged(
    proxy: Unsteady, photos: Path, bucket: str, tmp_path: Path
) -> None:
    root = f"s3://{bucket}/holiday"
    parts = [tmp_path / "one", tmp_path / "two"]
    for number, part in enumerate(parts, 1):
        index(root, part, shard=f"{number}/2")
    merge([Collection(part) for part in parts], Collection(tmp_path / "whole"))
    index(root, tmp_path / "plain")
    same(held(tmp_path / "whole", ""), held(tmp_path / "plain", ""))
    assert held(tmp_path / "whole", "")["roots"] == [root]
    assert all(held(part, "")["files"] for part in parts)


def test_interrupted_run_goes_on(proxy: Unsteady, bucket: str, tmp_path: Path) -> None:
    class Interrupted(FakeEncoder):
        def encode_images(self, pixels: Any) -> Any:
            if len(self.batches) == 6:
                raise KeyboardInterrupt
            return super().encode_images(pixels)

    with pytest.raises(KeyboardInterrupt):
        build(f"s3://{bucket}/holiday", collection=tmp_path / "c", encoder=Interrupted(),
              batch_size=2)  # fmt: skip
    kept = len(held(tmp_path / "c", "")["vectors"])
    assert 0 < kept < PHOTOS + 1
    assert index(f"s3://{bucket}/holiday", tmp_path / "c").indexed == PHOTOS + 1 - kept


def test_interrupt_does_not_wait_for_a_server_that_hangs(
    proxy: Unsteady, bucket: str, tmp_path: Path
) -> None:
    class Interrupted(FakeEncoder):
        def encode_images(self, pixels: Any) -> Any:
            raise KeyboardInterrupt

    hung = proxy.times(10**6, "hang", "/9.png")
    began = time.monotonic()
    with proxy.failing(hung), pytest.raises(KeyboardInterrupt):
        build(f"s3://{bucket}/holiday", collection=tmp_path / "c", encoder=Interrupted(),
              batch_size=2)  # fmt: skip
    assert proxy.reads("/9.png")
    assert time.monotonic() - began < 20  # and not READ seconds for each of the tries


def test_odd_keys_are_read_or_named(
    proxy: Unsteady, s3: ObjectStore, photos: Path, tmp_path: Path
) -> None:
    s3.client.create_bucket(Bucket="odd")
    fine = ["a b.png", "a%20b.png", "a+b.png", "a#b.png", "[a]*.png", "\u00e9\u4e2d.png"]
    fine += ["a?b.png", "same", "same/inner.png"]
    no_path = ["../up.png", "x//y.png", "./z.png", "/root.png"]
    for seed, key in enumerate([*fine, *no_path]):
        make_photo(tmp_path / "one.png", 1000 + seed)
        s3.client.upload_file(str(tmp_path / "one.png"), "odd", f"in/{key}")
    s3.client.put_object(Bucket="odd", Key="in/marker/", Body=b"")
    skipped: list[Any] = []
    report = index("s3://odd/in", tmp_path / "c", on_skip=skipped.append)
    files = held(tmp_path / "c", "")["files"]
    assert {name for name, (_, content, _) in files.items() if content} == set(fine)
    assert report.indexed == len(fine)
    # `.` and `..` begin with a dot, as all that is hidden does.
    assert sorted(one.path for one in skipped) == [b"s3://odd/in/%2F", b"s3://odd/in/x/%2F"]
    assert all("rename it" in one.reason for one in skipped)
    assert report.failed == 2


def test_files_without_a_collection_are_found_by_url(
    proxy: Unsteady, photos: Path, bucket: str
) -> None:
    there, _ = tasks_of([f"s3://{bucket}/holiday"])
    here, _ = tasks_of([photos])
    assert [(one.path, one.size) for one in there] == [(one.path, one.size) for one in here]
    part, _ = tasks_of([f"s3://{bucket}/holiday/album 1"])
    assert len(part) == PHOTOS // 3 + 1


def test_command_prints_urls_and_clear_errors(
    proxy: Unsteady, clipdex: Run, sample_photos: Path, s3: ObjectStore, tmp_path: Path
) -> None:
    s3.client.create_bucket(Bucket="real")
    for name in ("chelsea.png", "coffee.png", "rocket.jpg"):
        s3.client.upload_file(str(sample_photos / name), "real", f"in/{name}")
    clipdex("index", "s3://real/in")
    found = json_lines(clipdex("search", "a cat", "--in", "s3://real/in", "--json"))
    assert found[0]["path"] == "s3://real/in/chelsea.png"
    assert "path_b64" not in found[0]
    assert clipdex("search", "a cat", "--paths").stdout.splitlines()[0] == (
        b"s3://real/in/chelsea.png"
    )
    table = in_terminal("search", "a cat", "--collection", tmp_path / "collection")
    assert b"s3://real/in/chelsea.png" in table
    like = json_lines(clipdex("similar", "s3://real/in/chelsea.png", "--json"))
    assert len(like) == 2
    assert b"1 image" in clipdex("tags", "add", "mine", "s3://real/in/chelsea.png").stdout
    labelled = clipdex("label", "s3://real/in/chelsea.png", "--labels", "cat,dog", "--json")
    assert json_lines(labelled)[0]["path"] == "s3://real/in/chelsea.png"
    holds = json.loads(clipdex("status", "--json").stdout)
    assert holds["roots"] == ["s3://real/in"]
    assert clipdex("search", "--image", "s3://real/in/coffee.png", "--paths").stdout.splitlines()[
        0
    ] == (b"s3://real/in/coffee.png")
    for place, words in {
        "s3://nobody-has-this/in": "there is no such bucket",
        "s3://real/nothing": "there is no such file or folder",
        "teapot://x/y": "teapot:// is not read",
        "https://user:secret-word@host/photos": "URL with a password is not read",
        "https://host/a.jpg?signature=secret-word": "URL with a query is not read",
        "s3://real/../etc": "one of dots",
    }.items():
        done = clipdex("index", place, code=1)
        lines = done.stderr.decode().strip().splitlines()
        assert len(lines) == 1, lines
        assert words in lines[0]
        assert b"secret-word" not in done.stdout + done.stderr
    with proxy.failing(lambda method, path: "refuse"):
        done = clipdex("index", "s3://real", "--collection", tmp_path / "other", code=1)
    (line,) = done.stderr.decode().strip().splitlines()
    assert "s3://real cannot be read (permission denied). Nothing was indexed" in line
    everything = clipdex("forget", "s3://real/in").stdout
    assert b"3 files forgotten" in everything
    assert (
        KEYS["AWS_SECRET_ACCESS_KEY"].encode()
        not in (tmp_path / "collection").joinpath("catalogue.sqlite3").read_bytes()
    )


def test_missing_credentials_are_one_line(
    proxy: Unsteady, clipdex: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    done = clipdex("index", "s3://real/in", code=1)
    assert done.stderr.count(b"\n") == 1
    assert b"no credentials for it were found" in done.stderr


def test_missing_extra_is_one_line(clipdex: Run, tmp_path: Path) -> None:
    (tmp_path / "without" / "s3fs.py").parent.mkdir()
    (tmp_path / "without" / "s3fs.py").write_text("raise ImportError('no', name='s3fs')")
    done = clipdex("index", "s3://real/in", code=1, env={"PYTHONPATH": str(tmp_path / "without")})
    assert done.stderr.count(b"\n") == 1
    assert b"pip install 'clipdex[remote]'" in done.stderr


def test_originals_and_thumbnails_are_served_from_the_bucket(
    proxy: Unsteady, s3: ObjectStore, clipdex: Run, sample_photos: Path, tmp_path: Path
) -> None:
    s3.client.create_bucket(Bucket="shown")
    for name in ("chelsea.png", "coffee.png"):
        s3.client.upload_file(str(sample_photos / name), "shown", f"in/{name}")
    archive = tmp_path / "more.zip"
    shutil.make_archive(str(archive.with_suffix("")), "zip", sample_photos, "rocket.jpg")
    clipdex("index", "s3://shown/in", f"zip://{archive}")
    allowed = ("--originals", "--allow-remote", "s3://shown")
    with serving(tmp_path / "collection", *allowed) as server:
        proxy.requests.clear()
        hits = server.get("/v1/search", params={"q": "a cat", "k": 3}).json()["hits"]
        assert not proxy.requests  # a search contacts nobody
        assert hits[0]["path"] == "chelsea.png"
        assert {hit["path"] for hit in hits} == {"chelsea.png", "coffee.png", "rocket.jpg"}
        for hit in hits:
            original = server.get(hit["file"])
            assert original.content == (sample_photos / hit["path"]).read_bytes()
            thumbnail = server.get(hit["thumbnail"])
            assert thumbnail.status_code == 200
            assert thumbnail.content[8:12] == b"WEBP"
        assert len(proxy.reads("/chelsea.png")) == 2
        # Another image in its place, and none: what was indexed is not there any more.
        other = {hit["path"]: hit for hit in hits}["coffee.png"]
        s3.client.upload_file(str(sample_photos / "chelsea.png"), "shown", "in/coffee.png")
        assert server.get(other["file"]).status_code == 404
        s3.client.delete_object(Bucket="shown", Key="in/coffee.png")
        gone = server.get(other["file"])
        assert gone.status_code == 404
        assert "127.0.0.1" not in gone.text
        assert "shown" not in gone.text


def test_a_server_asks_nobody_that_its_operator_did_not_name(
    proxy: Unsteady, s3: ObjectStore, clipdex: Run, sample_photos: Path, tmp_path: Path
) -> None:
    s3.client.create_bucket(Bucket="elsewhere")
    s3.client.upload_file(str(sample_photos / "chelsea.png"), "elsewhere", "in/chelsea.png")
    clipdex("index", "s3://elsewhere/in")
    for allowed in ((), ("--allow-remote", "s3://else")):
        with serving(tmp_path / "collection", "--originals", *allowed) as server:
            proxy.requests.clear()
            for what in ("file", "thumbnail"):
                refused = server.get(f"/v1/images/1/{what}")
                assert refused.status_code == 404
                assert "--allow-remote" in refused.json()["detail"]
            assert not proxy.requests
        assert any("--allow-remote s3://elsewhere/in has it fetched" in row for row in server.log)
    done = clipdex("serve", "--allow-remote", "./photos", code=2)
    assert b"give a URL such as s3://bucket/photos" in done.stderr


def test_catalog_cannot_have_the_server_read_beside_its_roots(
    proxy: Unsteady, s3: ObjectStore, clipdex: Run, sample_photos: Path, tmp_path: Path
) -> None:
    s3.client.create_bucket(Bucket="beside")
    s3.client.upload_file(str(sample_photos / "chelsea.png"), "beside", "in/chelsea.png")
    s3.client.upload_file(str(sample_photos / "chelsea.png"), "beside", "private/chelsea.png")
    clipdex("index", "s3://beside/in")
    allowed = ("--originals", "--allow-remote", "s3://beside")
    with serving(tmp_path / "collection", *allowed) as server:
        assert server.get("/v1/images/1/file").status_code == 200
        with closing(sqlite3.connect(tmp_path / "collection" / "catalogue.sqlite3")) as catalog:
            catalog.execute("UPDATE files SET path = ?", (b"../private/chelsea.png",))
            catalog.commit()
        proxy.requests.clear()
        assert server.get("/v1/images/1/file").status_code >= 400
        assert not proxy.requests


@pytest.fixture
def web(photos: Path) -> Iterator[str]:
    """The photos on a web server that lists folders."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=photos)) as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def test_web_server_gives_the_vectors_of_the_folder(web: str, photos: Path, tmp_path: Path) -> None:
    with unsteady(web) as between:
        report = index(between.url, tmp_path / "c")
        assert (report.indexed, report.reused, report.failed) == (PHOTOS + 1, 1, 1)
        between.requests.clear()
        again = index(between.url + "/", tmp_path / "c")
        assert (again.indexed, again.unchanged) == (0, PHOTOS + 3)
        assert not between.reads()
        one = index(f"{between.url}/album%200/3.png", tmp_path / "one")
        assert one.indexed == 1
    index(str(photos), tmp_path / "local")
    assert held(tmp_path / "c", "")["vectors"] == held(tmp_path / "local", "")["vectors"]


def test_web_server_without_permission_is_not_a_missing_one(web: str, tmp_path: Path) -> None:
    with (
        unsteady(web) as between,
        between.failing(lambda method, path: "refuse"),
        pytest.raises(RootUnavailable, match="permission denied"),
    ):
        index(between.url, tmp_path / "c")


def test_folders_of_this_machine_need_nothing_of_it(photos: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from indexer import build; from indexer.testing import FakeEncoder; "
        "build(sys.argv[1], collection=sys.argv[2], encoder=FakeEncoder()); "
        "from search import Engine; Engine.open(sys.argv[2], encoder=FakeEncoder()).search('a'); "
        "print([one for one in ('fsspec', 's3fs', 'aiohttp', 'tarfile') if one in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, photos, tmp_path / "c"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_vectors_are_those_of_the_pixels(proxy: Unsteady, bucket: str, tmp_path: Path) -> None:
    """What a search finds is not only there but right: the fake encoder's own vector."""
    index(f"s3://{bucket}/holiday", tmp_path / "c")
    index(f"s3://{bucket}/holiday", tmp_path / "again", workers=1)
    one, other = held(tmp_path / "c", "")["vectors"], held(tmp_path / "again", "")["vectors"]
    assert one == other
    assert len({np.frombuffer(vector, np.float32).tobytes() for vector in one.values()}) == len(one)
