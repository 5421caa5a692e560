"""Nothing leaves the machine, and nothing is written outside the named folders."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.command import COMMAND
from support.images import make_photo
from support.shapes import labelled

# The first upload host is looked up some 11 to 14 s after ONNX Runtime was loaded.
UPLOAD_SECONDS = 30
CALLS = "connect,sendto,socket,openat,mkdir,mkdirat,rename,renameat,renameat2"
WRITING = re.compile(r'(?:openat\(AT_FDCWD, |mkdir\()"(/[^"]*)"(?!.*ENOENT)')
# What belongs to the system: shared memory of OpenMP, devices, Python's own bytecode.
SYSTEM = ("/dev/", "/proc/", "/sys/")

ENTRIES = (
    "from indexer import build",
    "from search import Engine",
    "import search.engine",
    "import search.request",
    "import adaptation.train",
    "import api",
    "import cli",
    "from indexer.encoders.onnx_encoder import OnnxEncoder",
)


@pytest.mark.parametrize("entry", ENTRIES)
def test_telemetry_is_off_before_onnxruntime_is_imported(entry: str) -> None:
    script = f"""
import os, sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in ("onnxruntime", "huggingface_hub"):
            assert os.environ["ORT_DISABLE_TELEMETRY"] == "1", name
            assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1", name

os.environ["ORT_DISABLE_TELEMETRY"] = "0"
sys.meta_path.insert(0, Watch())
{entry}
import onnxruntime
from indexer.devices.processes import SPAWN
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])


@pytest.fixture(scope="module")
def trace() -> list[str]:
    """A command that runs another without a network and records its calls."""
    isolated = ["unshare", "-rn"]
    for needed in ([*isolated, "true"], ["strace", "-f", "true"]):
        if shutil.which(needed[0]) is None:
            pytest.skip(f"{needed[0]} is not installed")
        if subprocess.run(needed, capture_output=True).returncode:
            pytest.skip(f"{needed[0]} is not permitted here")
    return [*isolated, "strace", "-f", "-e", f"trace={CALLS}", "-o"]


class Traced:
    """Commands under a fresh home, and what they did."""

    def __init__(self, trace: list[str], folder: Path) -> None:
        self.trace = trace
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        self.allowed = (folder / "collection", folder / "cache", folder / "temporary")
        self.allowed[2].mkdir()
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("XDG_")},
            "HOME": str(self.home),
            "TMPDIR": str(self.allowed[2]),
            "CLIPDEX_COLLECTION": str(self.allowed[0]),
            "CLIPDEX_CACHE": str(self.allowed[1]),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.environment.pop("ORT_DISABLE_TELEMETRY", None)

    def run(self, *arguments: object, seconds: float | None = None) -> None:
        """Run a command; one that does not end by itself is interrupted after `seconds`."""
        record = self.folder / "calls"
        command = [*self.trace, record, COMMAND, *map(str, arguments)]
        process = subprocess.Popen(
            command, env=self.environment, cwd=self.folder, start_new_session=True
        )
        try:
            assert process.wait(timeout=seconds or 300) in (0, 3)
        except subprocess.TimeoutExpired:
            assert seconds is not None
            os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=60)
        self.check(record.read_text(errors="replace"))

    def check(self, calls: str) -> None:
        assert "execve" in calls or "openat" in calls
        for line in calls.splitlines():
            if "connect(" in line:
                here = ("AF_UNIX", '"127.0.0.1"', '"::1"')
                assert any(address in line for address in here), line
            if "sendto(" in line:
                assert "htons(53)" not in line, line
            written = WRITING.search(line)
            if written and ("O_CREAT" in line or "O_WRONLY" in line or "mkdir(" in line):
                path = written[1]
                place = path.startswith((*SYSTEM, *map(str, self.allowed)))
                assert place or " = -1 " in line, line
        assert not [file for file in self.home.rglob("*") if file.is_file()]


@pytest.fixture
def traced(trace: list[str], tmp_path: Path) -> Traced:
    return Traced(trace, tmp_path)


def test_commands_write_and_ask_nowhere_else(traced: Traced, tmp_path: Path) -> None:
    images = labelled(tmp_path / "images", range(4))
    traced.run("index", images)
    traced.run("search", "a disc")
    traced.run("label", "--labels", "disc,stripes")
    traced.run("adapt", "train", "shapes", images)
    traced.run("models", "list")


@pytest.mark.long
def test_a_server_and_a_compiler_look_nothing_up(traced: Traced, tmp_path: Path) -> None:
    images = labelled(tmp_path / "images", range(12))
    for number in range(36):  # enough to calibrate 8-bit integers
        make_photo(tmp_path / "photos" / f"{number}.png", number, (200, 160))
    traced.run("index", images)
    traced.run("serve", "--port", "0", seconds=UPLOAD_SECONDS)
    pytest.importorskip("torch")
    traced.run("adapt", "train", "other", images, "--method", "mlp")
    traced.run("index", tmp_path / "photos", "--precision", "int8")
