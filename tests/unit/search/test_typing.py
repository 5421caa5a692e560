"""What a type checker sees of the Python interface, in a user's own folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.command import REPOSITORY

SCRIPT = """
from pathlib import Path

from indexer import build
from search import Engine

report = build("./photos", collection="./collection")
build(Path("photos"))
build(["photos", Path("more")])
with Engine.open("./collection") as engine:
    hits = engine.search("a dog", k=5)
    reveal_type(hits)
    reveal_type(hits[0].relevance)
    reveal_type(engine.similar("dog.jpg", offset=5))
reveal_type(report.indexed)
"""
WRONG = """
from indexer import bild
from search import Engine, Engin

Engine.open().search("a dog", count=5)
Engine.open().similar(1, k="5")
"""


def check(folder: Path, script: str, cache: Path) -> tuple[int, str]:
    """Run `mypy --strict` on a script in a folder of its own, as a user would; the output."""
    (folder / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-color-output", "script.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "MYPYPATH": "", "MYPY_CACHE_DIR": str(cache)},
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that both runs of mypy use: one without takes half a minute."""
    pytest.importorskip("mypy")
    for package in ("search", "indexer"):
        assert (REPOSITORY / package / "py.typed").exists()
    return tmp_path_factory.mktemp("mypy")


def test_a_users_script_sees_hits(tmp_path: Path, cache: Path) -> None:
    code, said = check(tmp_path, SCRIPT, cache)
    assert code == 0, said
    assert said.count('Revealed type is "search.hit_list.HitList"') == 2, said
    assert 'Revealed type is "float | None"' in said, said
    assert 'Revealed type is "int"' in said, said


def test_mistakes_of_a_users_script_are_found(tmp_path: Path, cache: Path) -> None:
    code, said = check(tmp_path, WRONG, cache)
    assert code == 1
    assert 'Module "indexer" has no attribute "bild"' in said, said
    assert 'Module "search" has no attribute "Engin"' in said, said
    assert 'Unexpected keyword argument "count" for "search"' in said, said
    assert 'Argument "k" to "similar" of "Engine" has incompatible type "str"' in said, said
