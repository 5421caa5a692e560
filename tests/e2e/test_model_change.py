"""Changing a collection's model: beside the old one, killed, resumed, searched meanwhile."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from indexer import build
from indexer.errors import RootUnavailable
from indexer.model_name import BUILT_IN_FOLDER
from indexer.testing import FakeEncoder
from search import Engine
from support.command import REPOSITORY, Run, json_lines
from support.images import make_photo

SCRIPT = Path(__file__).parent / "index_with_fake.py"
IMAGES = 60


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 different images and 5 copies."""
    folder = tmp_path_factory.mktemp("change") / "photos"
    for number in range(IMAGES):
        make_photo(folder / f"{number:03}.png", number)
    for number in range(5):
        shutil.copy(folder / f"{number:03}.png", folder / f"{number * 9:03}-copy.png")
    return folder


def new() -> FakeEncoder:
    return FakeEncoder(fingerprint="new", dim=48)


def start_change(
    photos: Path, collection: Path, log: Path, seconds: float
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, SCRIPT, photos, collection, log, str(seconds), "new", "48"],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )


def vectors(collection: Path) -> dict[tuple[bytes, str], bytes]:
    """Each content and model with its vector, as committed."""
    connection = sqlite3.connect(collection / "catalogue.sqlite3")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    rows = connection.execute(
        "SELECT hash, fingerprint, vector FROM embeddings JOIN contents ON id = content"
    ).fetchall()
    connection.close()
    return {(key, fingerprint): vector for key, fingerprint, vector in rows}


def answers(collection: Path, encoder: FakeEncoder) -> list[tuple[list[str], float]]:
    with Engine.open(collection, encoder=encoder) as engine:
        return [(hit.paths, round(hit.score, 5)) for hit in engine.search("x", k=500)]


def committed(collection: Path) -> int:
    return sum(fingerprint == "new" for _, fingerprint in vectors(collection))


def test_a_killed_model_change_resumes(photos: Path, tmp_path: Path) -> None:
    build([photos], collection=tmp_path / "whole", encoder=FakeEncoder())
    old_answers = answers(tmp_path / "whole", FakeEncoder())
    build([photos], collection=tmp_path / "whole", encoder=new())
    expected = vectors(tmp_path / "whole")
    assert len(expected) == 2 * IMAGES
    partial = 0
    for wanted in (4, 20, 44):
        collection, log = tmp_path / f"c{wanted}", tmp_path / f"{wanted}.log"
        build([photos], collection=collection, encoder=FakeEncoder())
        running = start_change(photos, collection, log, 0.1)
        while committed(collection) < wanted and running.poll() is None:
            assert answers(collection, FakeEncoder()) == old_answers
            time.sleep(0.02)
        running.send_signal(signal.SIGKILL)
        running.communicate()
        kept = committed(collection)
        partial += 0 < kept < IMAGES
        with Engine.open(collection, encoder=FakeEncoder()) as engine:
            states = {
                model["name"] + model["fingerprint"]: model for model in engine.status().models
            }
        assert (states["fakefake"]["state"], states["fakenew"]["state"]) == ("active", "pending")
        assert (states["fakefake"]["vectors"], states["fakenew"]["vectors"]) == (IMAGES, kept)
        assert answers(collection, FakeEncoder()) == old_answers
        again = new()
        assert build([photos], collection=collection, encoder=again).indexed == IMAGES - kept
        assert sum(again.batches) == IMAGES - kept
        assert vectors(collection) == expected
        assert answers(collection, new()) == answers(tmp_path / "whole", new())
    assert partial == 3


def test_an_open_engine_follows_the_change(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    encoders = {"fake": FakeEncoder(), "new": new()}
    encoders["new"].name = "new"
    monkeypatch.setattr("search.engine.load_encoder", lambda name, **_: encoders[name])
    monkeypatch.setattr(
        "search.engine.find_bundle",
        lambda name, fingerprint: SimpleNamespace(fingerprint=fingerprint, name=name),
    )
    build([photos], collection=tmp_path / "c", encoder=encoders["fake"])
    with Engine.open(tmp_path / "c") as engine:
        before = [hit.score for hit in engine.search("x", k=5)]
        build([photos], collection=tmp_path / "c", encoder=encoders["new"])
        after = [hit.score for hit in engine.search("x", k=5)]
        assert engine.model.fingerprint == "new"
    assert before != after


def test_images_outside_the_paths_of_the_run_change_too(photos: Path, tmp_path: Path) -> None:
    make_photo(tmp_path / "more" / "a.png", 500)
    make_photo(tmp_path / "more" / "gone.png", 501)
    build([photos, tmp_path / "more"], collection=tmp_path / "c", encoder=FakeEncoder())
    (tmp_path / "more" / "gone.png").unlink()
    report = build([photos], collection=tmp_path / "c", encoder=new())
    assert (report.indexed, report.failed, report.removed) == (IMAGES + 1, 0, 0)
    assert len(answers(tmp_path / "c", new())) == IMAGES + 1


def test_a_change_is_refused_while_a_folder_is_missing(photos: Path, tmp_path: Path) -> None:
    make_photo(tmp_path / "drive" / "a.png", 500)
    build([photos, tmp_path / "drive"], collection=tmp_path / "c", encoder=FakeEncoder())
    before = answers(tmp_path / "c", FakeEncoder())
    shutil.rmtree(tmp_path / "drive")
    encoder = new()
    with pytest.raises(RootUnavailable, match="drive"):
        build([photos], collection=tmp_path / "c", encoder=encoder)
    assert encoder.batches == []
    assert answers(tmp_path / "c", FakeEncoder()) == before


def test_a_former_model_comes_back_at_once_unless_pruned(photos: Path, tmp_path: Path) -> None:
    collection = tmp_path / "c"
    build([photos], collection=collection, encoder=FakeEncoder())
    build([photos], collection=collection, encoder=new())
    back = FakeEncoder()
    assert build([photos], collection=collection, encoder=back).unchanged == IMAGES + 5
    assert back.batches == []
    build([photos], collection=collection, encoder=back, prune_vanished=True)
    assert {fingerprint for _, fingerprint in vectors(collection)} == {"fake"}
    assert [file.name.split("-")[0] for file in (collection / "vectors").iterdir()] == ["fake"]
    assert len(answers(collection, back)) == IMAGES


def test_status_shows_a_model_change(clipdex: Run, photos: Path, tmp_path: Path) -> None:
    clipdex("index", photos, "--json")
    with pytest.raises(KeyboardInterrupt):
        build([photos], collection=tmp_path / "collection", encoder=Interrupted(fingerprint="new"))
    shown = clipdex("status").stdout.decode()
    assert "changing to fake (new, 32 dimensions): " in shown
    assert f"of {IMAGES} images" in shown
    (status,) = json_lines(clipdex("status", "--json"))
    assert status["model"] == "pocket"
    assert [model["state"] for model in status["models"]] == ["active", "pending"]
    assert json.dumps(status["models"][0]["fingerprint"]) == json.dumps(status["fingerprint"])
    assert len(json_lines(clipdex("search", "colours", "-k", 500, "--json"))) == IMAGES


class Interrupted(FakeEncoder):
    """The fake, with a user who presses Ctrl-C in the third batch."""

    def encode_images(self, pixels):  # type: ignore[no-untyped-def]
        if len(self.batches) == 2:
            raise KeyboardInterrupt
        return super().encode_images(pixels)


def test_a_bundle_in_a_folder_is_found_by_search(clipdex: Run, tmp_path: Path) -> None:
    bundle = tmp_path / "mine"
    shutil.copytree(BUILT_IN_FOLDER, bundle)
    manifest = json.loads((bundle / "bundle.json").read_text())
    (bundle / "bundle.json").write_text(json.dumps({**manifest, "name": "pocket, retouched"}))
    make_photo(tmp_path / "photos" / "a.png", 1)
    clipdex("index", tmp_path / "photos", "--model", bundle)
    (hit,) = json_lines(clipdex("search", "colours", "--json"))
    assert hit["path"] == str(tmp_path / "photos" / "a.png")
    assert json_lines(clipdex("status", "--json"))[0]["model"] == str(bundle)
