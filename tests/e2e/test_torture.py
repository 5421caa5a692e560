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


@pytest.mark.parametrize(
    "program",
    [
        ("clocks", "--rounds", "2"),
        ("full_folders", "--rounds", "6"),
        ("images", "--per-format", "20"),
        ("model_changes", "--rounds", "2"),
        ("models",),
        ("readers", "--rounds", "3"),
        ("runs", "--rounds", "4"),
        ("server", "--minutes", "0.7"),
        ("slow_files", "--rounds", "4"),
        ("stores",),
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
