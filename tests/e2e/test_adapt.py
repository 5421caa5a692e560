"""Heads, concepts and kept labels by the installed command, on images that the tests draw."""

import csv
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adaptation.artifact_writer import save
from search.labels.artifact import load
from support.command import Run, json_lines
from support.servers import serving
from support.shapes import CLASSES, draw, labelled
from support.sidecar_samples import read_by_exiftool


def state_of(path: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(file.relative_to(path)): (file.read_bytes(), file.stat().st_mtime_ns)
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


def test_a_head_is_learnt_used_kept_and_removed(clipdex: Run, tmp_path: Path) -> None:
    train = labelled(tmp_path / "train", range(8))
    photos = labelled(tmp_path / "photos", range(100, 106))
    clipdex("index", photos)
    (made,) = json_lines(
        clipdex("adapt", "train", "shapes", train, "--validation", photos, "--json")
    )
    assert made["classes"] == sorted(CLASSES)
    measured = made["metrics"]["validation"]
    assert measured["images"] == 18
    assert measured["accuracy"] >= max(0.9, measured["zero_shot"])
    found = json_lines(clipdex("label", "--head", "shapes", "--json"))
    right = [item["labels"][0]["label"] == Path(item["path"]).parent.name for item in found]
    assert len(right) == 18
    assert np.mean(right) == pytest.approx(measured["accuracy"])
    # A folder that is not indexed, by the same head.
    fresh = json_lines(clipdex("label", train, "--head", "shapes", "--json"))
    assert {item["labels"][0]["label"] for item in fresh} == set(CLASSES)
    narrowed = json_lines(
        clipdex("search", "an image", "--label", "stripes>0.5", "--json", "-k", "50")
    )
    assert narrowed
    assert all("/stripes/" in hit["path"] for hit in narrowed)
    said = clipdex("label", "--head", "shapes", "--save", "--json").stderr.decode()
    kept = json_lines(clipdex("tags", "list", "--json"))
    assert {item["origin"] for item in kept} == {"head:shapes"}
    assert f"{sum(item['images'] for item in kept)} labels kept" in said
    (one,) = json_lines(clipdex("adapt", "list", "--json"))
    assert one["name"] == "shapes"
    clipdex("adapt", "remove", "shapes")
    assert json_lines(clipdex("adapt", "list", "--json")) == []
    assert json_lines(clipdex("tags", "list", "--json")) == []
    assert b"no such head: shapes" in clipdex("label", "--head", "shapes", code=1).stderr


@pytest.mark.parametrize("method", ["clip-adapter", pytest.param("coop", marks=pytest.mark.slow)])
def test_adapters_and_learnt_prompts_label_images(
    method: str, clipdex: Run, tmp_path: Path
) -> None:
    train = labelled(tmp_path / "train", range(6))
    photos = labelled(tmp_path / "photos", range(100, 106))
    (made,) = json_lines(
        clipdex(
            "adapt", "train", "shapes", train, "--method", method, "--validation", photos, "--json"
        )
    )
    assert made["kind"] == {"clip-adapter": "adapter", "coop": "linear"}[method]
    measured = made["metrics"]["validation"]
    assert measured["accuracy"] > measured["zero_shot"]
    found = json_lines(clipdex("label", photos, "--head", "shapes", "--json"))
    right = [item["labels"][0]["label"] == Path(item["path"]).parent.name for item in found]
    assert np.mean(right) == pytest.approx(measured["accuracy"])


def test_a_few_clicks_teach_a_head(clipdex: Run, tmp_path: Path) -> None:
    photos = labelled(tmp_path / "photos", range(12))
    clipdex("index", photos)
    assert b"nothing to learn from" in clipdex("adapt", "train", "mine", code=1).stderr
    for kind in ("disc", "stripes"):
        clipdex("tags", "add", kind, *sorted((photos / kind).iterdir())[:4])
    clipdex("adapt", "train", "mine", "--method", "prototypes")
    found = json_lines(clipdex("label", photos / "disc", "--head", "mine", "--json"))
    assert np.mean([item["labels"][0]["label"] == "disc" for item in found]) > 0.8
    # A label of the user's own is found by it, whatever a head says.
    grain = photos / "grain" / "0.png"
    clipdex("tags", "add", "disc", grain)
    hits = json_lines(clipdex("search", "x", "--label", "disc>0.9", "-k", "99", "--json"))
    assert str(grain) in [hit["path"] for hit in hits]
    clipdex("tags", "remove", "disc", grain)
    hits = json_lines(clipdex("search", "x", "--label", "disc>0.9", "-k", "99", "--json"))
    assert str(grain) not in [hit["path"] for hit in hits]


def test_a_concept_is_a_word_of_every_query(clipdex: Run, sample_photos: Path) -> None:
    clipdex("index", sample_photos)
    cat = sample_photos / "chelsea.png"
    clipdex("adapt", "concept", "chelsea", "--like", cat, "--unlike", sample_photos / "coffee.png")
    for query in ("chelsea", "@chelsea", "a photo of @chelsea"):
        (hit,) = json_lines(clipdex("search", query, "-k", "1", "--json"))
        assert Path(hit["path"]).name == "chelsea.png"
    plain = json_lines(clipdex("search", "a rocket", "--json"))
    mixed = json_lines(clipdex("search", "a rocket chelsea", "--json"))
    assert [hit["path"] for hit in plain] != [hit["path"] for hit in mixed]
    assert b"no such concept: nobody" in clipdex("search", "@nobody", code=1).stderr
    clipdex("adapt", "remove", "chelsea")
    assert b"no such concept: chelsea" in clipdex("search", "@chelsea", code=1).stderr


def test_a_server_knows_concepts_and_kept_labels(
    clipdex: Run, photos_indexed: tuple[Path, Path], tmp_path: Path
) -> None:
    photos, collection = tmp_path / "photos", tmp_path / "collection"
    shutil.copytree(photos_indexed[0], photos)
    clipdex("index", photos)
    with serving(collection) as server:
        assert server.get("/v1/search?q=@mine").status_code == 422
        clipdex("adapt", "concept", "mine", "--like", photos / "moon.png")
        clipdex("tags", "add", "sky", photos / "moon.png")
        hits = server.get("/v1/search?q=mine").json()["hits"]
        assert hits[0]["path"] == "moon.png"
        both = server.post("/v1/search", json={"text": "a cat @mine", "k": 2}).json()["hits"]
        assert {hit["path"] for hit in both} == {"moon.png", "chelsea.png"}
        hits = server.get("/v1/search?q=x&label=sky>0.99").json()["hits"]
        assert [hit["path"] for hit in hits] == ["moon.png"]
        # A search at the terminal asks this server.
        (hit,) = json_lines(clipdex("search", "mine", "-k", "1", "--json"))
        assert Path(hit["path"]).name == "moon.png"
    clipdex("forget", photos / "moon.png")
    assert json_lines(clipdex("tags", "list", "--json")) == []


def test_labels_are_exported_and_imported(clipdex: Run, tmp_path: Path) -> None:
    photos = labelled(tmp_path / "photos", range(2))
    clipdex("index", photos)
    clipdex("tags", "add", "Scheibe, rund", photos / "disc")
    clipdex("tags", "add", "gestreift", photos / "stripes" / "0.png")
    before = state_of(photos)
    rows = list(csv.DictReader(io.StringIO(clipdex("tags", "export", "--csv").stdout.decode())))
    assert [(Path(row["path"]).name, row["label"]) for row in rows] == [
        ("0.png", "Scheibe, rund"),
        ("1.png", "Scheibe, rund"),
        ("0.png", "gestreift"),
    ]
    (first, *_) = json_lines(clipdex("tags", "export", "--json"))
    assert first["labels"] == [{"label": "Scheibe, rund", "probability": 1.0, "origin": "user"}]
    said = clipdex("tags", "export", "--xmp", "--dry-run").stdout
    assert said.startswith(b"3 sidecars would be created")
    assert state_of(photos) == before
    clipdex("tags", "export", "--xmp")
    after = state_of(photos)
    assert {name: after[name] for name in before} == before  # the photos as they were
    sidecar = photos / "disc" / "0.png.xmp"
    if shutil.which("exiftool"):
        read = read_by_exiftool(sidecar)
        assert read["XMP-dc:Subject"] == "Scheibe, rund"
        assert read["XMP-lr:HierarchicalSubject"] == "Scheibe, rund"
        assert read["XMP-digiKam:TagsList"] == "Scheibe, rund"
    assert b"3 already up to date" in clipdex("tags", "export", "--xmp").stdout
    clipdex("tags", "undo")
    assert state_of(photos) == before


def test_checks_stop_what_would_mislead(clipdex: Run, tmp_path: Path) -> None:
    train = labelled(tmp_path / "train", range(4))
    val = labelled(tmp_path / "val", range(50, 53))

    def refused(*options: object) -> str:
        done = clipdex("adapt", "train", "shapes", train, *options, code=1)
        return done.stderr.decode()

    shutil.rmtree(train / "grain")
    draw(train / "grain" / "0.png", "grain", 0)
    assert "'grain' has fewer than 2 examples" in refused()
    for seed in range(40):
        draw(train / "disc" / f"{seed}.png", "disc", seed)
    assert "more than 10 times as many" in refused()
    labelled(train, range(8))
    # Reduced and recompressed, it is the same image.
    small = Image.open(train / "stripes" / "3.png").resize((120, 120))
    small.save(val / "stripes" / "copy.jpg", quality=80)
    assert "validation nearly alike" in refused("--validation", val)
    (val / "stripes" / "copy.jpg").unlink()
    shutil.copy(train / "disc" / "1.png", train / "stripes" / "wrong.png")
    assert "in several classes" in refused()
    assert not (tmp_path / "collection" / "heads").exists()
    done = clipdex("adapt", "train", "shapes", train, "--force", "--json")
    assert b"warning: 1 image is in several classes" in done.stderr
    (made,) = json_lines(done)
    assert [one["check"] for one in made["warnings"]] == ["conflict"]
    (train / "stripes" / "wrong.png").unlink()
    (made,) = json_lines(clipdex("adapt", "train", "shapes", train, "--validation", val, "--json"))
    assert made["warnings"] == []


def shots(folder: Path, scenes: range, count: int) -> None:
    """Shots of drawn scenes, nearer and turned differently: no copies of each other."""
    for scene in scenes:
        place = Image.open(draw(folder.parents[1] / "drawn" / f"{scene}.png", "disc", scene))
        for shot in range(count):
            random = np.random.default_rng([scene, shot])
            turned = place.rotate(float(random.uniform(-25, 25)), resample=Image.Resampling.BICUBIC)
            left, top = random.integers(20, 50, 2).tolist()
            folder.mkdir(parents=True, exist_ok=True)
            turned.crop((left, top, left + 90, top + 90)).save(folder / f"{scene}_{shot}.png")


def test_shots_of_one_scene_are_held_out_together(clipdex: Run, tmp_path: Path) -> None:
    # Nothing but its scenes tells one class from the other.
    for name, scenes in {"first": range(6), "second": range(6, 12)}.items():
        shots(tmp_path / "data" / name, scenes, 6)
    done = clipdex("adapt", "train", "two", tmp_path / "data", "--json")
    (made,) = json_lines(done)
    held_out = made["metrics"]["held_out"]
    assert held_out["scenes"] <= 24
    assert held_out["accuracy"] < 0.8
    assert b"scenes only, so their accuracy may be off by" in done.stderr
    said = clipdex("adapt", "train", "two", tmp_path / "data").stdout.decode()
    assert f"(zero-shot {held_out['zero_shot']:.1%})" in said


def test_an_unknown_accuracy_is_said_beside_zero_shot(clipdex: Run, tmp_path: Path) -> None:
    train = labelled(tmp_path / "train", range(1))
    done = clipdex("adapt", "train", "shapes", train, "--method", "prototypes", "--force")
    assert b"accuracy unknown, as nothing could be held out (zero-shot " in done.stdout
    assert b"the head's accuracy is unknown" in done.stderr


@pytest.fixture
def head(clipdex: Run, tmp_path: Path) -> Path:
    train = labelled(tmp_path / "train", range(4))
    clipdex("index", train)
    clipdex("adapt", "train", "shapes", train, "--method", "prototypes")
    return tmp_path / "collection" / "heads" / "shapes"


def test_a_server_labels_by_a_head_of_its_collection(head: Path, tmp_path: Path) -> None:
    with serving(head.parents[1]) as server:
        asked = {"image_ids": list(range(1, 13)), "head": "shapes", "top": 1}
        found = server.post("/v1/label", json=asked).json()["images"]
        paths = [server.get(f"/v1/images/{one['id']}").json()["path"] for one in found]
        right = [
            one["labels"][0]["label"] == path.split("/")[0]
            for one, path in zip(found, paths, strict=True)
        ]
        assert np.mean(right) > 0.9
        assert server.post("/v1/label", json={**asked, "head": "none"}).status_code == 404
        for name in ("../heads/shapes", str(head), "shapes/", "."):
            assert server.post("/v1/label", json={**asked, "head": name}).status_code in (404, 422)
        assert server.post("/v1/label", json={**asked, "labels": ["x"]}).status_code == 422


def test_a_head_is_json_and_safetensors_and_nothing_else(head: Path) -> None:
    assert sorted(file.name for file in head.iterdir()) == ["arrays.safetensors", "manifest.json"]
    assert json.loads((head / "manifest.json").read_text())["method"] == "prototypes"
    size = int.from_bytes((head / "arrays.safetensors").read_bytes()[:8], "little")
    header = json.loads((head / "arrays.safetensors").read_bytes()[8 : 8 + size])
    assert set(header) == {"weights", "bias", "centres", "rejection"}


def test_a_head_that_was_changed_is_refused(head: Path, clipdex: Run) -> None:
    manifest, arrays = head / "manifest.json", head / "arrays.safetensors"
    whole = manifest.read_bytes(), arrays.read_bytes()

    def refused() -> bytes:
        return clipdex("label", "--head", "shapes", code=1).stderr

    manifest.write_bytes(whole[0].replace(b'"disc"', b'"disk"'))
    assert b"were changed" in refused()
    manifest.write_bytes(whole[0])
    arrays.write_bytes(whole[1][:-1] + bytes([whole[1][-1] ^ 1]))
    assert b"were changed" in refused()
    arrays.write_bytes(whole[1][:100])
    assert b"were changed" in refused()
    arrays.write_bytes(whole[1])
    manifest.write_bytes(b"{")
    assert b"cannot be read" in refused()


def test_a_head_for_another_model_is_refused(head: Path, clipdex: Run) -> None:
    whole = load(head)
    metadata = {
        key: whole.metadata[key] for key in whole.metadata if key not in ("arrays", "digest")
    }
    other = {**metadata, "fingerprint": "0" * 32, "model": "ViT-B-32/laion2b_s34b_b79k"}
    save(head.parent, "shapes", other, whole.arrays)
    done = clipdex("label", "--head", "shapes", code=1)
    assert b"learnt from vectors of another model (ViT-B-32/laion2b_s34b_b79k)" in done.stderr
    # Nor does a search go by it.
    hits = json_lines(clipdex("search", "x", "--label", "disc>0.999", "--json"))
    assert len(hits) < 4


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/b", "", ".hidden", "x" * 65])
def test_a_name_is_no_path(name: str, clipdex: Run, tmp_path: Path) -> None:
    train = labelled(tmp_path / "train", range(2))
    done = clipdex("adapt", "train", name, train, "--method", "prototypes", code=1)
    assert b"cannot be a name" in done.stderr
    clipdex("adapt", "remove", name, code=1)
    assert (tmp_path / "train").exists()


def test_all_but_training_runs_without_torch(head: Path, clipdex: Run, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    for name in ("torch", "open_clip"):
        (blocked / name).mkdir(parents=True)
        (blocked / name / "__init__.py").write_text("raise ImportError('blocked')")
    path = os.pathsep.join([str(blocked), os.environ.get("PYTHONPATH", "")])
    without = {"PYTHONPATH": path}
    train = tmp_path / "train"
    for method in (
        "zero-shot-probe", "linear-probe", "prototypes", "k-nn", "tip-adapter", "lp++",
    ):  # fmt: skip
        name = method.rstrip("+")
        clipdex("adapt", "train", name, train, "--method", method, env=without)
        assert json_lines(clipdex("label", train, "--head", name, "--json", env=without))
    clipdex("adapt", "concept", "round", "--like", train / "disc" / "0.png", env=without)
    clipdex("search", "round", "--label", "disc>0.5", env=without)
    done = clipdex("adapt", "train", "mlp", train, "--method", "mlp", code=1, env=without)
    assert b"clipdex[torch]" in done.stderr


def test_using_a_head_imports_no_library_for_training(
    head: Path, clipdex: Run, tmp_path: Path
) -> None:
    blocked = tmp_path / "blocked"
    for name in ("sklearn", "scipy", "threadpoolctl", "torch", "open_clip"):
        (blocked / name).mkdir(parents=True)
        (blocked / name / "__init__.py").write_text("raise ImportError('blocked')")
    without = {"PYTHONPATH": os.pathsep.join([str(blocked), os.environ.get("PYTHONPATH", "")])}
    assert json_lines(clipdex("label", "--head", "shapes", "--json", env=without))
    assert json_lines(
        clipdex("label", tmp_path / "train", "--head", "shapes", "--json", env=without)
    )
    assert json_lines(clipdex("search", "x", "--label", "disc>0.5", "--json", env=without))
    assert json_lines(clipdex("adapt", "list", "--json", env=without))


@pytest.mark.shared
def test_examples_beat_zero_shot_on_real_photos(
    clipdex: Run, development_data: Path, tmp_path: Path
) -> None:
    names = ("pizza", "starfish", "umbrella", "wrench", "wheelchair", "llama")
    for split in ("train", "val"):
        for name in names:
            source = development_data / "datasets" / "caltech101" / split / name
            if not source.is_dir():
                pytest.skip(f"no {name} in the development data")
            shutil.copytree(source, tmp_path / split / name)
    done = clipdex(
        "adapt", "train", "six", tmp_path / "train", "--validation", tmp_path / "val",
        "--force", "--json",
    )  # fmt: skip
    measured = json_lines(done)[0]["metrics"]["validation"]
    assert measured["accuracy"] > measured["zero_shot"]
    assert measured["accuracy"] > 0.9
