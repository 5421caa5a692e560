from pathlib import Path

import pytest

from indexer.errors import GroundTruthError
from search.evaluation.dataset import read_ground_truth
from support.images import make_photo


def told(source: Path) -> dict[str, tuple[list[str], list[str]]]:
    return {
        str(Path(path.decode()).relative_to(source.parent)): (known.labels, known.captions)
        for path, known in read_ground_truth(source).items()
    }


def test_folders_are_classes(tmp_path: Path) -> None:
    for name in ("water_lily/1.png", "water_lily/deep/2.png", "cat/3.png", "loose.png"):
        make_photo(tmp_path / "d" / name, 1)
    assert told(tmp_path / "d") == {
        "d/cat/3.png": (["cat"], []),
        "d/water_lily/1.png": (["water lily"], []),
        "d/water_lily/deep/2.png": (["water lily"], []),
    }


def test_rows_of_one_image_add_up(tmp_path: Path) -> None:
    file = tmp_path / "d.csv"
    file.write_text('path,label\na.jpg,cat\n./a.jpg,pet\nb.jpg,"a, b"\na.jpg,cat\n')
    assert told(file) == {"a.jpg": (["cat", "pet"], []), "b.jpg": (["a, b"], [])}
    file.write_text("\ufeffpath,caption\r\na.jpg,A cat.\r\na.jpg,Asleep.\r\n", encoding="utf-8")
    assert told(file) == {"a.jpg": ([], ["A cat.", "Asleep."])}
    lines = tmp_path / "d.jsonl"
    lines.write_text(
        '{"image": "x/a.jpg", "captions": ["One.", "Two."]}\n\n'
        '{"image": "b.jpg", "label": "cat"}\n{"image": "c.jpg", "labels": ["cat", "dog"]}\n'
    )
    assert told(lines) == {
        "x/a.jpg": ([], ["One.", "Two."]),
        "b.jpg": (["cat"], []),
        "c.jpg": (["cat", "dog"], []),
    }


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("d.csv", "file,label\na.jpg,cat\n", "must be path,label"),
        ("d.csv", "path,text\na.jpg,cat\n", "must be path,label"),
        ("d.csv", "", "must be path,label"),
        ("d.csv", "path,label\n", "names no images"),
        ("d.csv", "path,label\na.jpg,cat\nb.jpg,\n", "line 3"),
        ("d.csv", 'path,label\na.jpg,"cat\n', "cannot be read"),
        ("d.jsonl", '{"image": "a.jpg", "label": "cat"}\n{oops\n', "line 2 is not JSON"),
        ("d.jsonl", '{"label": "cat"}\n', 'no "image"'),
        ("d.jsonl", "[1]\n", 'no "image"'),
        ("d.jsonl", '{"image": "a.jpg"}\n', "neither"),
        ("d.jsonl", '{"image": "a.jpg", "labels": [1]}\n', '"labels" is neither'),
        ("d.txt", "a.jpg cat\n", "is not a folder with one folder per class"),
    ],
)
def test_invalid_ground_truth_names_its_line(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(GroundTruthError, match=words) as error:
        read_ground_truth(tmp_path / name)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_ground_truth_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GroundTruthError, match="cannot be read"):
        read_ground_truth(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GroundTruthError, match="cannot be read"):
        read_ground_truth(tmp_path / "binary.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(GroundTruthError, match="names no images"):
        read_ground_truth(tmp_path / "empty")
