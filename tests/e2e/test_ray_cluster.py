"""Indexing on a Ray cluster: two machines of one computer, of which one is lost half-way."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indexer import build
from indexer.encoders.cluster_work import NodeEncoder, decode
from indexer.errors import FingerprintMismatch
from indexer.images.decode import Limits
from indexer.images.preprocess import Preprocess
from indexer.pipeline.embed_files import tasks_of
from indexer.pipeline.read import Reading
from indexer.pipeline.stages import nothing_known
from indexer.testing import FakeEncoder
from support.command import REPOSITORY, Run
from support.images import make_photo

PHOTOS = 48

# What a test does with a cluster, in a process of its own: {action} gets `cluster` and `machine`.
CLUSTER = """
import json, sys, time
from pathlib import Path
from ray.cluster_utils import Cluster
from indexer import build
from indexer.encoders import cluster as encoders
from indexer.load import cluster_encoder
from indexer.testing import FakeEncoder

class Slow(FakeEncoder):
    def encode_images(self, pixels):
        time.sleep(0.05)
        return super().encode_images(pixels)

photos, collection, what = sys.argv[1:]
notes, skipped = [], []
gpus = 0.5 if what == "gpus" else 0  # which are only counted
size = {"num_cpus": 1, "num_gpus": 1 if gpus else 0}
encoders.LOOK = 0.2
cluster = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
machine = cluster.add_node(**size)
lost = []

def progress(now):
    if what == "lose" and now.stage == "index" and now.done >= 12 and not lost:
        lost.append(now.done)
        cluster.remove_node(machine, allow_graceful=False)
    if what == "join" and now.stage == "index" and now.done >= 12 and not lost:
        lost.append(now.done)
        cluster.add_node(**size)
    if what == "stop" and now.stage == "index" and now.done >= 12:
        raise KeyboardInterrupt

encoder = cluster_encoder(Slow(), address=cluster.address, gpus=gpus, on_progress=notes.append)
try:
    report = build(photos, collection=collection, encoder=encoder, batch_size=2,
                   on_progress=progress, on_skip=lambda one: skipped.append(one.reason))
    found = {"machines": len({node.machine for node in encoder._nodes})}
    found |= {"report": report.to_json(), "notes": notes, "skipped": skipped, "lost": lost}
    print(json.dumps(found))
except KeyboardInterrupt:
    print(json.dumps({"notes": notes}))
finally:
    encoder.close()
    cluster.shutdown()
"""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for seed in range(PHOTOS):
        make_photo(folder / f"album {seed % 3}" / f"{seed:02}.png", seed)
    (folder / "album 1" / "a copy.png").write_bytes((folder / "album 0" / "00.png").read_bytes())
    (folder / "album 2" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(50))
    return folder


@pytest.fixture(scope="module", autouse=True)
def ray() -> None:
    pytest.importorskip("ray", reason="ray is not installed")


def on_cluster(photos: Path, collection: Path, what: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", CLUSTER, photos, collection, what],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=240, check=False,
        env={**os.environ, "PYTHONPATH": "."},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def rows(collection: Path) -> dict[str, list[Any]]:
    """All that a run has written, ids and order included."""
    with closing(sqlite3.connect(collection / "catalogue.sqlite3")) as catalog:
        return {
            table: catalog.execute(f"SELECT {columns} FROM {table} ORDER BY 1").fetchall()
            for table, columns in {
                "contents": "id, hash, width, height, sketch",
                "files": "id, path, size, mtime_ns, content, reason",
                "embeddings": "content, fingerprint, vector",
            }.items()
        }


def test_lost_machine_changes_nothing(photos: Path, tmp_path: Path) -> None:
    found = on_cluster(photos, tmp_path / "cluster", "lose")
    assert found["lost"]
    assert found["notes"][0] == "Ray: 2 encoders on 2 machines"
    assert (
        "an encoder of the cluster was lost: its images are read again by another"
        in (found["notes"])
    )
    here = build(photos, collection=tmp_path / "here", encoder=FakeEncoder(), batch_size=2)
    assert (found["report"]["indexed"], found["report"]["reused"]) == (here.indexed, here.reused)
    assert found["report"]["failed"] == here.failed == 1
    assert found["skipped"] == ["damaged: its header cannot be read"]
    assert rows(tmp_path / "cluster") == rows(tmp_path / "here")


def test_machine_that_joins_gets_encoders(photos: Path, tmp_path: Path) -> None:
    found = on_cluster(photos, tmp_path / "cluster", "join")
    assert found["machines"] == 3
    build(photos, collection=tmp_path / "here", encoder=FakeEncoder(), batch_size=2)
    assert rows(tmp_path / "cluster") == rows(tmp_path / "here")


def test_encoders_share_gpus(photos: Path, tmp_path: Path) -> None:
    found = on_cluster(photos, tmp_path / "cluster", "gpus")
    assert found["notes"] == ["Ray: 4 encoders on 2 machines"]
    build(photos, collection=tmp_path / "here", encoder=FakeEncoder(), batch_size=2)
    assert rows(tmp_path / "cluster") == rows(tmp_path / "here")


def test_interrupted_run_goes_on_anywhere(photos: Path, tmp_path: Path) -> None:
    on_cluster(photos, tmp_path / "cluster", "stop")
    kept = len(rows(tmp_path / "cluster")["embeddings"])
    assert 0 < kept < PHOTOS
    report = build(photos, collection=tmp_path / "cluster", encoder=FakeEncoder())
    assert report.indexed == PHOTOS - kept
    build(photos, collection=tmp_path / "here", encoder=FakeEncoder())
    assert rows(tmp_path / "cluster")["embeddings"] == rows(tmp_path / "here")["embeddings"]


def test_command_gives_the_vectors_of_one_machine(
    clipdex: Run, sample_photos: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("chelsea.png", "coffee.png", "rocket.jpg", "camera.png"):
        (folder / name).write_bytes((sample_photos / name).read_bytes())
    clipdex("index", folder, "--engine", "ray", "--json", "--batch-size", 1)
    clipdex("index", folder, "--collection", tmp_path / "here", "--batch-size", 1)
    vectors = [
        {content: np.frombuffer(vector, np.float16) for content, _, vector in found}
        for found in (rows(tmp_path / one)["embeddings"] for one in ("collection", "here"))
    ]
    assert vectors[0].keys() == vectors[1].keys() == {1, 2, 3, 4}
    for content, vector in vectors[0].items():
        np.testing.assert_allclose(vector, vectors[1][content], atol=1e-3)
    again = clipdex("index", folder, "--engine", "ray")
    assert b"0 indexed" in again.stdout
    assert b"4 unchanged" in again.stdout
    done = clipdex("index", folder, "--ray-address", "nowhere:1", code=2)
    assert b"go with --engine ray" in done.stderr


def test_missing_package_is_one_line(clipdex: Run, sample_photos: Path, tmp_path: Path) -> None:
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "ray.py").write_text("raise ImportError('no', name='ray')")
    done = clipdex(
        "index", sample_photos / "chelsea.png", "--engine", "ray", code=1,
        env={"PYTHONPATH": str(tmp_path / "without")},
    )  # fmt: skip
    assert done.stderr.count(b"\n") == 1
    assert b"pip install 'clipdex[ray]'" in done.stderr


def test_usage_is_not_reported() -> None:
    code = "import indexer, os; from ray._common.usage import usage_lib; " \
        "print(usage_lib.usage_stats_enabled())"  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_machine_with_another_model_is_refused(photos: Path) -> None:
    tasks, _ = tasks_of([photos / "album 0"])
    reading = Reading(Preprocess((32, 32)), Limits(), nothing_known)
    read = decode(reading, tasks)
    assert len(read) == PHOTOS // 3
    encoder = NodeEncoder(lambda: FakeEncoder(fingerprint="other"), "fake", 32)
    with pytest.raises(FingerprintMismatch, match="another model"):
        encoder.encode(read)


def test_work_of_a_machine_is_that_of_this_one(photos: Path) -> None:
    tasks, _ = tasks_of([photos / "album 2"])
    read = decode(Reading(Preprocess((32, 32)), Limits(), nothing_known), tasks)
    files, vectors = NodeEncoder(FakeEncoder, "fake", 32).encode(read)
    assert [file.task for file in files] == tasks
    assert all(file.pixels is None for file in files)
    pixels = np.stack([file.pixels for file in read if file.pixels is not None])
    np.testing.assert_array_equal(vectors, FakeEncoder().encode_images(pixels))
    assert [file.reason for file in files if not file.encoded] == [
        "damaged: its header cannot be read"
    ]
