"""Shards of one folder, each indexed by a process of its own, and joined by `clipdex merge`."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indexer import build
from indexer.merge_collections import merge
from indexer.store.catalog import Catalog, write_transaction
from indexer.store.collection import Collection
from indexer.store.rows import SavedLabel
from indexer.testing import FakeEncoder
from support.command import REPOSITORY, Run, json_lines
from support.images import make_photo
from support.waiting import wait_until

PHOTOS, SHARDS = 60, 4

INDEX = """
import sys, time
from indexer import build
from indexer.testing import FakeEncoder

class Slow(FakeEncoder):
    def encode_images(self, pixels):
        time.sleep(float(sys.argv[4]))
        return super().encode_images(pixels)

build([sys.argv[1]], collection=sys.argv[2], shard=sys.argv[3], encoder=Slow(), batch_size=2)
"""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for seed in range(PHOTOS):
        make_photo(folder / f"album {seed % 3}" / f"{seed}.png", seed)
    shutil.copy(folder / "album 0" / "0.png", folder / "album 1" / "a copy.png")
    (folder / "album 2" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(50))
    return folder


def index(
    photos: Path, collection: Path, shard: str, pause: float = 0.0
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", INDEX, photos, collection, shard, str(pause)]
    return subprocess.Popen(command, cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": "."})


def held(collection: Path) -> dict[str, Any]:
    """What a collection holds, without ids."""
    with closing(Catalog.open(Collection(collection))) as catalog:
        (model,) = [one for one, state, _ in catalog.models() if state == "active"]
        roots = catalog.roots()
        images = dict(catalog.stored_images(model.fingerprint))
        return {
            "images": sorted((one.digest, one.vector, one.thumbnail) for one in images.values()),
            "files": sorted(
                (roots[row.root], row.path, row.size, row.mtime_ns, row.reason or "",
                 images[row.content].digest if row.content else b"")
                for row in catalog.stored_files()
            ),
        }  # fmt: skip


def test_shards_merged_are_one_run(photos: Path, tmp_path: Path) -> None:
    parts = [tmp_path / f"part {number}" for number in range(1, SHARDS + 1)]
    running = [
        index(photos, part, f"{number}/{SHARDS}", 0.05) for number, part in enumerate(parts, 1)
    ]
    catalog = parts[1] / "catalogue.sqlite3"
    wait_until(lambda: catalog.exists() and _count(catalog) > 0, seconds=120)
    running[1].send_signal(signal.SIGKILL)
    for process in running:
        process.wait(timeout=240)
    assert index(photos, parts[1], f"2/{SHARDS}").wait(timeout=240) == 0
    build([photos], collection=tmp_path / "one", encoder=FakeEncoder())
    target = Collection(tmp_path / "merged")
    sizes = [len(held(part)["images"]) for part in parts]
    assert min(sizes) > 0
    report = merge([Collection(part) for part in parts], target)
    assert held(target.folder) == held(tmp_path / "one")
    assert report.images == PHOTOS
    # Merging once more adds nothing, and the next run has nothing to read.
    again = merge([Collection(part) for part in parts], target)
    assert (again.images, again.known) == (0, sum(sizes))
    assert held(target.folder) == held(tmp_path / "one")
    done = build([photos], collection=target.folder, encoder=FakeEncoder())
    assert (done.indexed, done.reused, done.removed) == (0, 0, 0)


def _count(catalog: Path) -> int:
    try:
        with closing(sqlite3.connect(f"file:{catalog}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM embeddings").fetchone()[0])
    except sqlite3.Error:
        return 0


def test_labels_and_nested_folders_come_along(photos: Path, tmp_path: Path) -> None:
    whole, inner = tmp_path / "whole", tmp_path / "inner"
    build([photos], collection=whole, encoder=FakeEncoder())
    build([photos / "album 1"], collection=inner, encoder=FakeEncoder())
    with write_transaction(Collection(inner), "test") as catalog:
        (number, *_) = catalog.image_ids()
        catalog.save_labels([SavedLabel(number, "ours", 1.0, "user")])
        (digest,) = catalog.digests([number]).values()
    merge([Collection(inner)], Collection(whole))
    with closing(Catalog.open(Collection(whole))) as catalog:
        assert list(catalog.roots().values()) == [os.fsencode(photos)]
        (label,) = catalog.saved_labels()
        assert catalog.digests([label.content]) == {label.content: digest}
    alone = tmp_path / "alone"
    build([photos], collection=alone, encoder=FakeEncoder())
    assert held(whole) == held(alone)


def test_the_command_merges_and_searches(clipdex: Run, sample_photos: Path, tmp_path: Path) -> None:
    for name in ("chelsea.png", "coffee.png", "rocket.jpg", "camera.png"):
        (tmp_path / "photos").mkdir(exist_ok=True)
        shutil.copy(sample_photos / name, tmp_path / "photos")
    for number in (1, 2):
        shard = ("--shard", f"{number}/2", "--collection", f"part-{number}")
        clipdex("index", "photos", *shard)
    done = clipdex("merge", "part-1", "part-2", "--into", "both", "--json")
    assert json.loads(done.stdout) == {"images": 4, "known": 0, "files": 4}
    hits = json_lines(clipdex("search", "a cat", "--json", "--collection", "both"))
    assert len(hits) == 4
    assert Path(hits[0]["path"]).name == "chelsea.png"


def test_bad_input_is_one_line(clipdex: Run, tmp_path: Path) -> None:
    make_photo(tmp_path / "photos" / "a.png", 1)
    make_photo(tmp_path / "photos" / "b.png", 2)
    for text in ("0/4", "5/4", "x", "1/", "-1/4"):
        assert b"the third of eight is 3/8" in clipdex(
            "index", "photos", f"--shard={text}", code=1
        ).stderr.replace(b"\n", b" ")
    clipdex("index", "photos")
    assert b"holds all files, not shard" in clipdex(
        "index", "photos", "--shard", "1/2", code=1
    ).stderr.replace(b"\n", b" ")
    clipdex("index", "photos", "--shard", "1/1", "--collection", "sharded")
    assert b"holds shard 1/1, not shard 2/2" in clipdex(
        "index", "photos", "--shard", "2/2", "--collection", "sharded", code=1
    ).stderr.replace(b"\n", b" ")
    own = tmp_path / "collection"
    for sources, why in (
        ((own,), b"cannot be merged into itself"),
        (("missing",), b"missing"),
    ):
        done = clipdex("merge", *sources, "--into", own, code=1)
        assert why in done.stderr.replace(b"\n", b" ")
    clipdex("index", "photos", "--model", "pocket-v0", "--collection", "other")
    assert b"holds vectors of pocket-v0" in clipdex(
        "merge", "other", "--into", own, code=1
    ).stderr.replace(b"\n", b" ")
    vectors = np.array([hit["score"] for hit in json_lines(clipdex("search", "x", "--json"))])
    assert len(vectors) == 2
