"""What a command needs is checked before it works: nothing is read, encoded or said before."""

from pathlib import Path

import pytest

from indexer.bundles.bundle import Bundle
from indexer.compile import int8 as int8_module
from indexer.errors import CompileError
from indexer.model_name import BUILT_IN_FOLDER
from support.command import Run, json_lines
from support.images import make_photo
from support.shapes import labelled
from support.without import TORCH, without


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Labelled images, one of which is named in a message as soon as images are read."""
    folder = labelled(tmp_path / "data", range(3))
    (folder / "disc" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    return folder


def refused(clipdex: Run, *command: object, code: int = 1, **options: object) -> str:
    done = clipdex(*command, code=code, **options)
    said: str = done.stderr.decode()
    assert done.stdout == b""
    assert "Traceback" not in said
    assert "fault of clipdex" not in said
    if code == 1:
        assert said.count("\n") == 1, said
    return said


def test_missing_torch(clipdex: Run, data: Path, tmp_path: Path) -> None:
    hooked = without(tmp_path / "hook", *TORCH)
    said = refused(clipdex, "adapt", "train", "x", data, "--method", "mlp", env=hooked)
    assert "clipdex[torch]" in said
    said = refused(clipdex, "adapt", "tune", "x", data, env=hooked)
    assert "clipdex[torch]" in said
    # What was named wrongly is said first: installing torch would not help.
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    said = refused(clipdex, "models", "export", "pocket", "full", env=hooked)
    assert "full exists already" in said


def test_missing_onnx(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLIPDEX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(__import__("sys").modules, "indexer.compile.quantize", None)

    def read(*arguments: object) -> None:
        raise AssertionError("images were read")

    monkeypatch.setattr(int8_module, "sample_pixels", read)
    with pytest.raises(CompileError, match=r"clipdex\[int8\]"):
        int8_module.int8(Bundle.load(BUILT_IN_FOLDER), [tmp_path])


def test_names_and_files(clipdex: Run, data: Path, tmp_path: Path) -> None:
    assert "cannot be a name" in refused(clipdex, "adapt", "train", "a b", data)
    photo = make_photo(tmp_path / "photo.png", 1)
    clipdex("index", photo)
    assert "cannot be a name" in refused(clipdex, "adapt", "concept", "a b", "--like", photo)
    said = refused(clipdex, "adapt", "train", "x", data, "--validation", "missing.csv")
    assert "missing.csv cannot be read" in said
    said = refused(clipdex, "eval", data, "--model", "pocket", "--model", "no-such-model")
    assert "no such model: 'no-such-model'" in said
    for command in ("search", "label"):
        said = refused(clipdex, command, "--labels" if command == "label" else "x",
                       "a", "--collection", "nowhere")  # fmt: skip
        assert "no collection at" in said


def test_places_and_devices_before_a_model_is_compiled(clipdex: Run, tmp_path: Path) -> None:
    model = ("--model", "ViT-B-32/laion2b_s34b_b79k")
    photos = make_photo(tmp_path / "photos" / "a.png", 1).parent
    assert "nowhere is not there" in refused(clipdex, "index", "nowhere", *model)
    said = refused(clipdex, "index", photos, *model, "--collection", "photos/a.png/collection")
    assert "a.png is not a folder" in said
    assert "--device cpu" in refused(clipdex, "index", photos, *model, "--device", "mps")


def test_a_demo_needs_a_folder_that_can_be_written(clipdex: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in ("/proc/x", "file"):
        assert "Name a folder that you can write to" in refused(clipdex, "demo", folder)


def test_numbers_are_refused_by_name(clipdex: Run, data: Path) -> None:
    for command, name in (
        (("search", "x", "--min-relevance", "nan"), "--min-relevance"),
        (("search", "x", "--label", "cat>inf"), "--label"),
        (("search", "x", "-k", "0"), "-k"),
        (("search", "x", "--offset", "1e3"), "--offset"),
        (("search", "x", "--since", "2024", "--until", "2023"), "the wrong way round"),
        (("search", "x", "--until", "never"), "is not a date"),
        (("duplicates", "--threshold", "nan"), "--threshold"),
        (("tags", "export", "--csv", "--min-probability", "nan"), "--min-probability"),
        (("adapt", "train", "x", data, "--seed", "-1"), "--seed"),
        (("adapt", "train", "x", data, "--seed", 2**32), "--seed"),
        (("adapt", "tune", "x", data, "--rate", "inf"), "--rate"),
        (("adapt", "tune", "x", data, "--warmup", "7"), "--warmup"),
        (("serve", "--rate-limit", "nan"), "--rate-limit"),
        (("serve", "--body-seconds", "inf"), "--body-seconds"),
    ):
        assert name in refused(clipdex, *command, code=2)


def test_large_numbers_mean_everything(clipdex: Run, tmp_path: Path) -> None:
    for seed in range(3):
        make_photo(tmp_path / "photos" / f"{seed}.png", seed)
    many = 10**30
    clipdex("index", "photos", "--batch-size", many, "--workers", many, "--max-bytes", many,
            "--max-pixels", many)  # fmt: skip
    for condition in (["--until", "3000"], ["--since", "1600"], ["--since", "900y"], []):
        found = clipdex("search", "x", "-k", many, *condition, "--json")
        assert len(json_lines(found)) == 3
    assert clipdex("search", "x", "--offset", many, "--json").stdout == b""
    assert clipdex("search", "x", "--until", "1600", "--json").stdout == b""
    clipdex("label", "--labels", "a,b", "--top", many)


def test_conditions_alone_list_images(clipdex: Run, tmp_path: Path) -> None:
    for seed, folder in ((1, "2019"), (2, "2019"), (3, "2020")):
        make_photo(tmp_path / "photos" / folder / f"{seed}.png", seed)
    clipdex("index", "photos")
    clipdex("tags", "add", "gear", "photos/2020")
    (geared,) = json_lines(clipdex("search", "--label", "gear>0.8", "--json"))
    assert geared["path"].endswith("2020/3.png")
    assert (geared["score"], geared["relevance"]) == (None, None)
    found = clipdex("search", "--in", "2019").stdout.decode().splitlines()
    assert len(found) == 2
    assert all(line.startswith("\t") for line in found)
    assert len(clipdex("search", "--until", "3000", "--paths").stdout.splitlines()) == 3
    assert len(clipdex("search", "--in", "photos", "--collapse", "--csv").stdout.splitlines()) > 1
    assert "--label or --in" in refused(clipdex, "search", code=2)
    assert "need a text" in refused(clipdex, "search", "--not", "x", "--in", "2019", code=2)
