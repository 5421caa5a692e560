"""Models, heads, concepts and lists that someone has damaged or made to do harm.

Each is one line that names it, and harms nothing else. No test measures time: those that hung
before run into the limit of the `clipdex` fixture.
"""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from support.command import COMMAND, Run, json_lines
from support.hostile_models import (
    DEEP,
    DIM,
    GRAPHS,
    change_manifest,
    copy_of_pocket,
    fill,
    replace_image_graph,
    resum,
    save_concept,
    save_head,
)
from support.servers import serving
from support.shapes import labelled


def said(done: subprocess.CompletedProcess[bytes]) -> str:
    """The one line of an error."""
    text = done.stderr.decode()
    assert "Traceback" not in text
    assert "a fault of clipdex" not in text
    (line,) = [one for one in text.splitlines() if one.startswith("error: ")]
    return line


def images_of(clipdex: Run) -> int:
    count: int = json_lines(clipdex("status", "--json"))[0]["images"]
    return count


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return labelled(tmp_path / "photos", range(2))


@pytest.fixture
def fingerprint(clipdex: Run, photos: Path) -> str:
    """Of the model of a collection of six images."""
    clipdex("index", photos)
    found: str = json_lines(clipdex("models", "list", "--json"))[0]["fingerprint"]
    return found


def test_damaged_weights_are_not_used(
    clipdex: Run, photos: Path, tmp_path: Path, fingerprint: str
) -> None:
    model = copy_of_pocket(tmp_path / "model")
    more = labelled(tmp_path / "more", range(10, 12))
    clipdex("index", photos, "--model", model)
    fill(model / "image.onnx.data", 255)
    line = said(clipdex("index", more, "--model", model, code=1))
    assert "is damaged: image.onnx.data" in line
    assert str(model) in line
    assert images_of(clipdex) == 6


def test_damage_is_noticed_after_a_good_check(clipdex: Run, photos: Path, tmp_path: Path) -> None:
    model = copy_of_pocket(tmp_path / "model")
    clipdex("index", photos, "--model", model)
    clipdex("search", "a circle")
    file = model / "text.onnx.data"
    before = file.stat()
    data = bytearray(file.read_bytes())
    data[12_345_678] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "text.onnx.data" in said(clipdex("search", "a circle", code=1))


@pytest.mark.parametrize("byte", [0, 255])
def test_vectors_that_are_no_numbers_are_not_stored(
    byte: int, clipdex: Run, photos: Path, tmp_path: Path
) -> None:
    model = copy_of_pocket(tmp_path / "model")
    fill(model / "image.onnx.data", byte)
    resum(model)
    line = said(clipdex("index", photos, "--model", model, code=1))
    assert str(model) in line
    assert images_of(clipdex) == 0
    found = json_lines(clipdex("models", "verify", model, "--json", code=1))
    assert not found[0]["good"]


def test_a_users_own_encoder_is_checked(tmp_path: Path, photos: Path) -> None:
    from indexer import build
    from indexer.errors import ClipdexError
    from indexer.testing import FakeEncoder

    class Broken(FakeEncoder):
        def encode_images(self, pixels: Any) -> Any:
            return super().encode_images(pixels) * np.float32(3)

    with pytest.raises(ClipdexError, match="the model fake"):
        build([photos], collection=tmp_path / "c", encoder=Broken())


@pytest.mark.parametrize(
    "name",
    # Twenty seconds of a core, which is the limit.
    [
        pytest.param(one, marks=[pytest.mark.long] if one == "slow steps" else [])
        for one in sorted(GRAPHS)
    ],
)
def test_graphs_without_end_are_stopped(
    name: str, clipdex: Run, photos: Path, tmp_path: Path
) -> None:
    model = copy_of_pocket(tmp_path / "model")
    replace_image_graph(model, GRAPHS[name]())
    assert str(model) in said(clipdex("index", photos, "--model", model, code=1))


@pytest.mark.parametrize(
    "changes",
    [
        {"dim": 7},
        {"dim": "512"},
        {"logit_scale": float("nan")},
        {"image": []},
        {"text": {"kind": []}},
        {"relevance": {"text": [1]}},
        {"fingerprint": 5},
        {"checksums": {"image.onnx": 1}},
        {"image": {"size": [2**40, 2**40], "mean": [0, 0, 0], "std": [1, 1, 1]}},
    ],
)
def test_manifests_are_checked(
    changes: dict[str, Any], clipdex: Run, photos: Path, tmp_path: Path
) -> None:
    model = copy_of_pocket(tmp_path / "model", **changes)
    assert "damaged" in said(clipdex("index", photos, "--model", model, code=1))


@pytest.mark.parametrize("text", ["[]", "5", "", DEEP, '{"format": ' + DEEP + "}", "\x00"])
def test_manifests_that_are_none_are_errors(
    text: str, clipdex: Run, photos: Path, tmp_path: Path
) -> None:
    model = copy_of_pocket(tmp_path / "model")
    (model / "bundle.json").write_text(text)
    said(clipdex("index", photos, "--model", model, code=1))


def _deep(folder: Path) -> None:
    (folder / "manifest.json").write_text(DEEP)


HEADS: dict[str, Callable[[Path], None]] = {
    "deep": _deep,
    "empty": lambda folder: (folder / "manifest.json").write_text("") and None,
    "a list": lambda folder: (folder / "manifest.json").write_text("[]") and None,
    "no classes": lambda folder: change_manifest(folder, "classes"),
    "no temperature": lambda folder: change_manifest(folder, "temperature"),
    "no name": lambda folder: change_manifest(folder, "name"),
    "one class": lambda folder: change_manifest(folder, classes=["cat"]),
    "temperature of 0": lambda folder: change_manifest(folder, temperature=0),
    "classes of numbers": lambda folder: change_manifest(folder, classes=[1, 2, 3]),
    "truncated": lambda folder: os.truncate(folder / "arrays.safetensors", 100),
    "no arrays": lambda folder: (folder / "arrays.safetensors").unlink(),
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
}


@pytest.mark.parametrize("fault", sorted(HEADS))
def test_a_broken_head_stops_nothing_else(
    fault: str, clipdex: Run, tmp_path: Path, fingerprint: str
) -> None:
    heads = tmp_path / "collection" / "heads"
    save_head(heads, "whole", fingerprint)
    HEADS[fault](save_head(heads, "broken", fingerprint))
    if fault not in ("one class", "truncated", "no arrays"):  # which only reading arrays shows
        listed = clipdex("adapt", "list", "--json", code=3)
        assert [one["name"] for one in json_lines(listed)] == ["whole"]
        assert listed.stderr.decode().startswith("skipped broken: ")
    said(clipdex("label", "--head", "broken", "--json", code=1))
    assert len(json_lines(clipdex("label", "--head", "whole", "--json"))) == 6
    clipdex("search", "an image", "--label", "cat>0.1")
    clipdex("adapt", "remove", "broken")
    listed = clipdex("adapt", "list", "--json")
    assert [one["name"] for one in json_lines(listed)] == ["whole"]


def test_heads_of_other_numbers_are_errors(clipdex: Run, tmp_path: Path, fingerprint: str) -> None:
    heads = tmp_path / "collection" / "heads"
    save_head(heads, "short", fingerprint, dim=7)
    assert "7 numbers" in said(clipdex("label", "--head", "short", "--json", code=1))
    save_head(heads, "nan", fingerprint, fill_with=float("nan"))
    done = clipdex("label", "--head", "nan", "--json", code=1)
    assert "finite" in said(done)
    assert done.stdout == b""
    with serving(tmp_path / "collection", CLIPDEX_CACHE=str(tmp_path / "cache")) as server:
        for name in ("short", "nan"):
            answer = httpx.post(f"{server.url}/v1/label", json={"head": name, "image_ids": [1]})
            assert 400 <= answer.status_code < 500, answer.text
            assert answer.headers["content-type"].startswith("application/problem+json")


@pytest.mark.parametrize("vector", [np.full(DIM, np.nan), np.ones(7) / 7**0.5, np.zeros(DIM)])
def test_broken_concepts_are_errors(
    vector: Any, clipdex: Run, tmp_path: Path, fingerprint: str
) -> None:
    concepts = tmp_path / "collection" / "concepts"
    save_concept(concepts, "whole", fingerprint)
    save_concept(concepts, "rex", fingerprint, vector.astype(np.float32))
    assert "rex" in said(clipdex("search", "rex", "on", "a", "sofa", code=1))
    assert clipdex("search", "whole", "--json").stdout
    clipdex("adapt", "remove", "rex")
    clipdex("search", "rex")


def test_long_words_are_searched(clipdex: Run, tmp_path: Path, fingerprint: str) -> None:
    save_concept(tmp_path / "collection" / "concepts", "rex", fingerprint)
    random = np.random.default_rng(0)
    word = "".join(random.choice(list("etaoinshrdlu"), 120_000))
    assert len(json_lines(clipdex("search", word, "--json"))) == 6
    hits = json_lines(clipdex("search", "rex", "a" * 120_000, "--json"))
    assert hits


def test_lists_of_labels_that_never_end(clipdex: Run, tmp_path: Path, fingerprint: str) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert b"nothing came" in clipdex("label", "--labels-file", pipe, code=2).stderr
    assert b"64 MB" in clipdex("label", "--labels-file", "/dev/zero", code=2).stderr
    many = tmp_path / "many.txt"
    many.write_text("\n".join(map(str, range(1_000_000))))
    assert b"1,000,000 labels" in clipdex("label", "--labels-file", many, code=2).stderr


def test_lists_of_labels_come_through_pipes(tmp_path: Path, clipdex: Run, fingerprint: str) -> None:
    plain = tmp_path / "labels.txt"
    plain.write_text("circle\nstripes\n")
    expected = clipdex("label", "--labels-file", plain, "--json").stdout
    script = f"{COMMAND} label --json --labels-file <(sleep 0.5; cat {plain})"
    shelled = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "CLIPDEX_COLLECTION": str(tmp_path / "collection")},
        capture_output=True,
        timeout=300,
        check=True,
    )
    assert shelled.stdout == expected
    with plain.open() as stream:
        got = clipdex("label", "--labels-file", "/dev/stdin", "--json", stdin=stream)
    assert got.stdout == expected


@pytest.mark.parametrize("text", [DEEP, "[[]]", '[{"id": 5}]', "{}", '{"host": [], "port": "x"}'])
def test_a_server_starts_beside_broken_files(
    text: str, clipdex: Run, tmp_path: Path, fingerprint: str
) -> None:
    collection = tmp_path / "collection"
    (collection / "server.json").write_text(text)
    assert json_lines(clipdex("search", "a circle", "--json"))
    (collection / "jobs.json").write_text(text)
    with serving(collection, CLIPDEX_CACHE=str(tmp_path / "cache")) as server:
        assert httpx.get(f"{server.url}/v1/status").status_code == 200
        assert not any("Traceback" in line for line in server.log)


def test_records_of_models_that_are_broken_are_left_out(clipdex: Run, tmp_path: Path) -> None:
    names = tmp_path / "cache" / "models" / "names"
    names.mkdir(parents=True)
    entry = {"name": "x", "fingerprint": 5, "source": "x", "arch": None, "stamp": []}
    for number, text in enumerate((DEEP, "[]", json.dumps(entry), json.dumps({"name": []}))):
        (names / f"{number}.json").write_text(text)
    listed = json_lines(clipdex("models", "list", "--json"))
    assert [one["name"] for one in listed if one["here"]] == ["pocket", "pocket-v0"]
