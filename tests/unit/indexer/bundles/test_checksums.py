import os
import shutil
from pathlib import Path

import pytest

from indexer.bundles import checksums
from indexer.bundles.bundle import Bundle
from indexer.bundles.checksums import require_intact
from indexer.errors import BundleError
from indexer.model_name import BUILT_IN_FOLDER


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    shutil.copytree(BUILT_IN_FOLDER, tmp_path / "model")
    monkeypatch.setenv("CLIPDEX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(checksums, "SETTLED_NS", 0)
    return Bundle.load(tmp_path / "model")


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read."""
    names: list[str] = []
    digest = checksums._digest

    def logged(file: Path) -> str:
        names.append(file.name)
        return digest(file)

    monkeypatch.setattr(checksums, "_digest", logged)
    return names


def test_a_file_is_read_once(bundle: Bundle, read: list[str]) -> None:
    for _ in range(3):
        require_intact(bundle, "text.onnx", "image.onnx")
    assert read == ["text.onnx", "image.onnx"]


@pytest.mark.parametrize("change", ["touched", "replaced", "changed"])
def test_a_file_that_has_changed_is_read_again(
    change: str, bundle: Bundle, read: list[str]
) -> None:
    require_intact(bundle, "text.onnx")
    file = bundle.folder / "text.onnx"
    data = bytearray(file.read_bytes())
    before = file.stat().st_mtime_ns
    if change == "touched":
        os.utime(file)
    else:
        data[1000] ^= change == "changed"
        beside = file.with_suffix(".new") if change == "replaced" else file
        beside.write_bytes(data)
        os.replace(beside, file)
        os.utime(file, ns=(before, before))
    if change == "changed":
        with pytest.raises(BundleError, match="text.onnx"):
            require_intact(bundle, "text.onnx")
    else:
        require_intact(bundle, "text.onnx")
    assert read == ["text.onnx"] * 2


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, '{"files": {"text.onnx": 5}}'])
def test_damaged_memories_are_forgotten(
    text: str, bundle: Bundle, read: list[str], tmp_path: Path
) -> None:
    require_intact(bundle, "text.onnx")
    (memory,) = (tmp_path / "cache" / "checked").iterdir()
    memory.write_text(text)
    require_intact(bundle, "text.onnx")
    assert read == ["text.onnx"] * 2


def test_a_cache_that_cannot_be_written_does_not_matter(
    bundle: Bundle, read: list[str], tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("no folder")
    for _ in range(2):
        require_intact(bundle, "text.onnx")
    assert read == ["text.onnx"] * 2
