"""Short forms of the programs that try to break clipdex; CONTRIBUTING.md has the long ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.command import REPOSITORY

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="written for Linux"),
]


slow = pytest.mark.slow


# Of those that take a minute or so, other tests have the kinds of fault one by one.
@pytest.mark.parametrize(
    "program",
    [
        pytest.param(("clocks", "--rounds", "2"), marks=slow),
        pytest.param(("full_folders", "--rounds", "6"), marks=slow),
        ("images", "--per-format", "20"),
        pytest.param(("model_changes", "--rounds", "2"), marks=slow),
        pytest.param(("models",), marks=slow),
        pytest.param(("readers", "--rounds", "3"), marks=slow),
        ("runs", "--rounds", "4"),
        pytest.param(("server", "--minutes", "0.7"), marks=slow),
        ("slow_files", "--rounds", "4"),
        pytest.param(("stores",), marks=slow),
    ],
    ids=lambda program: program[0],
)
def test_nothing_breaks(program: tuple[str, ...], tmp_path: Path) -> None:
    name, *options = program
    done = subprocess.run(
        [sys.executable, "-m", f"scripts.torture.{name}", "--seed", "18", *options],
        cwd=REPOSITORY,
        env={**os.environ, "CLIPDEX_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    if done.stdout.startswith("not run: "):
        pytest.skip(done.stdout.strip())
