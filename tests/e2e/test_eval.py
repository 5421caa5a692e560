"""`clipdex eval` through the installed command, on real photos and on the development data."""

import json
import os
import shutil
from pathlib import Path

import pytest

from support.command import Run, json_lines

LABELS = {"chelsea.png": "cat", "coffee.png": "cup of coffee", "rocket.jpg": "rocket"}


@pytest.fixture
def labelled(sample_photos: Path, tmp_path: Path) -> Path:
    for name, label in LABELS.items():
        folder = tmp_path / "labelled" / label.replace(" ", "_")
        folder.mkdir(parents=True)
        shutil.copy(sample_photos / name, folder / name)
    return tmp_path / "labelled"


def test_a_folder_of_classes_is_measured(clipdex: Run, labelled: Path) -> None:
    (row,) = json_lines(clipdex("eval", labelled, "--json"))
    assert (row["model"], row["images"], row["failed"]) == ("pocket", 3, 0)
    assert row["zero_shot"] == {"classes": 3, "top_1": 1, "top_5": 1, "mean_per_class": 1}
    assert row["label_retrieval"]["mean_average_precision"] == 1
    assert row["label_retrieval"]["precision_at_10"] == pytest.approx(1 / 3)
    assert row["text_to_image"] is row["image_to_text"] is None
    table = clipdex("eval", labelled, "--model", "pocket", "--model", "pocket").stdout.decode()
    assert table.splitlines()[0].split() == ["pocket", "pocket"]
    (line,) = (line for line in table.splitlines() if "top-1" in line)
    assert line.split()[-2:] == ["100.0", "100.0"]
    poor = json_lines(clipdex("eval", labelled, "--template", "{} not a rocket", "--json"))
    assert poor[0]["zero_shot"] != {} != row["zero_shot"]


def test_it_says_what_label_says(clipdex: Run, labelled: Path, tmp_path: Path) -> None:
    names = ["animal", "drink", "vehicle", "cat", "rocket"]
    (tmp_path / "labels.txt").write_text("\n".join(names))
    rows = json_lines(
        clipdex("label", labelled, "--labels-file", "labels.txt", "--json", "--top", 1)
    )
    best = {row["path"]: row["labels"][0]["label"] for row in rows}
    lines = ["path,label", *(f"{path},{label}" for path, label in best.items())]
    # The other names have to be classes, too: two more rows of one image, which are wrong.
    (tmp_path / "truth.csv").write_text("\n".join(lines))
    (row,) = json_lines(clipdex("eval", "truth.csv", "--json"))
    assert row["zero_shot"]["top_1"] == 1


def test_captions_are_measured_in_both_directions(
    clipdex: Run, labelled: Path, tmp_path: Path
) -> None:
    rows = [
        {"image": f"labelled/cat/{'chelsea.png'}", "captions": ["a cat", "a face with whiskers"]},
        {"image": "labelled/rocket/rocket.jpg", "captions": ["a rocket launch at night"]},
    ]
    (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (row,) = json_lines(clipdex("eval", "c.jsonl", "--json"))
    assert row["zero_shot"] is row["label_retrieval"] is None
    for key, queries in (("text_to_image", 3), ("image_to_text", 2)):
        assert row[key]["queries"] == queries
        assert row[key]["recall_at_1"] == 1
        assert row[key]["median_rank"] == 1


def test_stored_vectors_are_used(clipdex: Run, labelled: Path) -> None:
    clipdex("index", labelled)
    fresh = json_lines(clipdex("eval", labelled, "--json", "--collection", "none"))
    assert json_lines(clipdex("eval", labelled, "--json")) == fresh


def test_images_that_cannot_be_read_are_named_and_counted(
    clipdex: Run, labelled: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes.jpg").write_text("hello")
    lines = ["path,label", "gone.jpg,cat", "notes.jpg,cat"]
    lines += [f"{file},{file.parent.name}" for file in sorted(labelled.rglob("*.*"))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    done = clipdex("eval", "t.csv", "--json", code=3)
    (row,) = json_lines(done)
    assert (row["images"], row["failed"]) == (3, 2)
    message = done.stderr.decode().splitlines()
    assert message[0].endswith("gone.jpg: cannot be read: No such file or directory")
    assert message[1].endswith("notes.jpg: not an image of a format that clipdex reads")
    assert message[2] == "2 images were left out"


def test_unusable_data_is_a_one_line_error(clipdex: Run, tmp_path: Path) -> None:
    (tmp_path / "header.csv").write_text("file,class\na.jpg,cat\n")
    (tmp_path / "gone.csv").write_text("path,label\na.jpg,cat\n")
    for name, words in (
        ("header.csv", "must be path,label"),
        ("gone.csv", "none of the 1 images can be read"),
        ("nothing.jsonl", "cannot be read"),
    ):
        message = clipdex("eval", name, code=1).stderr.decode()
        assert message.startswith("error: ")
        assert words in message
        assert message.count("\n") == 1
    assert b"{}" in clipdex("eval", "header.csv", "--template", "x", code=2).stderr


@pytest.mark.shared
def test_the_built_in_model_has_its_known_metrics(
    clipdex: Run, development_data: Path, tmp_path: Path
) -> None:
    """100 photos of Flickr8k dev, against a brute-force ranking of the same model's vectors."""
    import numpy as np

    from indexer.load import load_encoder
    from search.ranking.image_query import encode_image_files

    source = development_data / "datasets" / "flickr8k"
    rows = [json.loads(line) for line in (source / "dev.jsonl").read_text().splitlines()[:100]]
    for row in rows:
        row["image"] = os.fspath(source / row["image"])
    (tmp_path / "dev.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (found,) = json_lines(clipdex("eval", "dev.jsonl", "--json"))
    encoder = load_encoder()
    images = encode_image_files(encoder, [Path(row["image"]) for row in rows])
    scores = encoder.encode_texts([text for row in rows for text in row["captions"]]) @ images.T
    owner = np.repeat(np.arange(100), 5)
    ranks = (scores >= scores[np.arange(500), owner][:, np.newaxis]).sum(axis=1)
    assert found["text_to_image"]["recall_at_10"] == pytest.approx((ranks <= 10).mean(), abs=2e-3)
    assert found["text_to_image"]["median_rank"] == np.median(ranks)
    best = scores.reshape(100, 5, 100)[np.arange(100), :, np.arange(100)].max(axis=1)
    behind = (best[:, np.newaxis] < scores.T).sum(axis=1)
    assert found["image_to_text"]["recall_at_1"] == pytest.approx((behind < 1).mean(), abs=1e-2)
