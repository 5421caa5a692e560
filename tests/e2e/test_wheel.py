"""The wheel, built and installed as an index would, run from a foreign folder."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from support.command import REPOSITORY


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="the wheel is built without isolation, by hatchling")
    target = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", target],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    )
    (built,) = target.glob("*.whl")
    return built


def test_wheel_contents(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == {
        "adaptation",
        "indexer",
        "search",
        "serving",
        "terminal",
        "api.py",
        "cli.py",
    }
    assert "indexer/pocket/image.onnx.data" in names
    assert "indexer/pocket_v0/image.onnx.data" in names
    assert {"serving/web/index.html", "serving/web/docs.html"} <= set(names)
    packages = ("indexer", "search", "adaptation", "serving", "terminal")
    assert {f"{package}/py.typed" for package in packages} <= set(names)
    assert any(name.endswith("licenses/NOTICE") for name in names)
    # Two models, since collections of the first stay readable; the registry takes 100 MB.
    assert wheel.stat().st_size < 95 * 10**6


def test_the_installed_wheel_indexes_and_searches(
    wheel: Path, sample_photos: Path, tmp_path: Path
) -> None:
    home = tmp_path / "environment"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    here = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    ).strip()
    # The dependencies are those of this environment; clipdex itself can only be the wheel's,
    # since a path in a .pth file is not searched for further .pth files.
    folders = [folder for folder in sys.path if folder.endswith("site-packages")]
    Path(here, "dependencies.pth").write_text("\n".join(folders))
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", wheel], check=True)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "search.py").write_text("raise SystemExit('a file of the user was imported')")
    command = [home / "bin" / "clipdex"]
    photos = ["index", sample_photos, "--exclude", "[!c]*", "--collection", "c"]
    subprocess.run([*command, *photos], cwd=foreign, check=True)
    found = subprocess.check_output(
        [*command, "search", "a cat", "-k", "1", "--paths", "--collection", "c"], cwd=foreign
    )
    assert found.decode().strip().endswith("chelsea.png")
    origin = subprocess.check_output(
        [python, "-P", "-c", "import indexer; print(indexer.__file__)"], text=True, cwd=foreign
    )
    assert Path(origin.strip()).is_relative_to(home)
