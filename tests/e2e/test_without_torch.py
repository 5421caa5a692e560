"""The built-in model with torch and open_clip made unimportable."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.command import Run, json_lines
from support.without import TORCH, without

REPORT = """
import atexit, os, sys
atexit.register(lambda: open(os.environ["IMPORTED"], "w").write("\\n".join(sys.modules)))
"""


@pytest.fixture
def hooked(tmp_path: Path) -> dict[str, str]:
    return without(tmp_path / "hook", *TORCH)


def test_index_search_similar_and_label_need_neither(
    clipdex: Run, hooked: dict[str, str], sample_photos: Path, tmp_path: Path
) -> None:
    blocked = subprocess.run(
        [sys.executable, "-c", "import torch"], env={**os.environ, **hooked}, capture_output=True
    )
    assert b"torch is blocked" in blocked.stderr
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("chelsea.png", "coffee.png", "rocket.jpg"):
        shutil.copy(sample_photos / name, photos)
    assert clipdex("index", photos, env=hooked).stdout.startswith(b"3 indexed")
    hits = json_lines(clipdex("search", "a cat", "--json", env=hooked))
    assert hits[0]["path"].endswith("chelsea.png")
    assert len(json_lines(clipdex("similar", photos / "rocket.jpg", "--json", env=hooked))) == 2
    rows = json_lines(
        clipdex("label", photos / "coffee.png", "--labels", "coffee,cat", "--json", env=hooked)
    )
    assert rows[0]["labels"][0]["label"] == "coffee"


def test_no_command_imports_torch(
    clipdex: Run, photos_indexed: tuple[Path, Path], tmp_path: Path
) -> None:
    photos, collection = photos_indexed
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "sitecustomize.py").write_text(REPORT)
    listing = tmp_path / "imported"
    environment = {"PYTHONPATH": str(tmp_path / "report"), "IMPORTED": str(listing)}
    for command in (
        ["--help"],
        ["search", "a cat", "--collection", collection],
        ["similar", photos / "chelsea.png", "--collection", collection],
        ["status", "--collection", collection],
        ["index", photos, "--collection", tmp_path / "new"],
        ["label", photos / "chelsea.png", "--labels", "a,b"],
    ):
        clipdex(*command, env=environment)
        imported = set(listing.read_text().splitlines())
        assert not imported & {"torch", "open_clip", "torchvision", "onnx"}
        assert "cli" in imported
        listing.unlink()
    clipdex("--help", env=environment)
    assert not set(listing.read_text().splitlines()) & {"numpy", "faiss", "onnxruntime", "PIL"}
