"""The directions of docs/architecture.md: held by import-linter, whose contracts are tried here."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.command import REPOSITORY

PACKAGES = ("indexer", "search", "adaptation", "serving", "terminal")
LINT = Path(sys.executable).parent / "lint-imports"
MAX_MODULES = 20


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )


def sources() -> list[Path]:
    return [file for name in PACKAGES for file in (REPOSITORY / name).rglob("*.py")]


def test_contracts_hold() -> None:
    done = lint(REPOSITORY)
    assert done.returncode == 0, done.stdout
    assert re.search(r"Contracts: \d+ kept, 0 broken", done.stdout)


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("search/hits.py", "import adaptation.task", "Packages stand in layers"),
        ("indexer/store/records.py", "import indexer.images.color", "parts stand in layers"),
        ("search/filters/dates.py", "import search.engine", "No circles between siblings"),
        ("indexer/load.py", "def late():\n    import torch.nn", "torch and open_clip stay"),
        ("search/status.py", "import sqlite3", "FAISS and SQL stay in the store"),
        ("adaptation/task.py", "import fastapi", "FastAPI stays in the server"),
        ("serving/settings.py", "import rich", "Typer and rich stay in the terminal"),
    ],
)
def test_a_breach_is_found(module: str, line: str, contract: str, tmp_path: Path) -> None:
    for name in PACKAGES:
        shutil.copytree(
            REPOSITORY / name, tmp_path / name,
            ignore=lambda _, names: [one for one in names if one in ("pocket", "pocket_v0", "web")],
        )  # fmt: skip
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    with open(tmp_path / module, "a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    done = lint(tmp_path)
    assert done.returncode == 1, done.stdout
    assert re.search(rf"{re.escape(contract)}.* BROKEN", done.stdout), done.stdout


def test_no_folder_has_too_many_modules() -> None:
    folders = {file.parent for file in sources()}
    crowded = [folder for folder in folders if len(list(folder.glob("*.py"))) > MAX_MODULES]
    assert not crowded


def test_statements_run_in_the_store_alone() -> None:
    elsewhere = [
        file
        for file in sources()
        if "indexer/store/" not in file.as_posix() and ".execute" in file.read_text("utf-8")
    ]
    assert not elsewhere
