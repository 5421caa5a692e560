"""Each peer in a virtual environment of its own, made once and kept."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ASK = "import ensurepip, sys; print('%d.%d' % sys.version_info[:2])"


@dataclass(frozen=True)
class Recipe:
    """What a peer's environment is made from.

    pythons: versions that it runs on, best first. requirements: the peer, which pip takes the
    newest of, and what its own dependencies have to be held back to.
    """

    name: str
    pythons: tuple[str, ...]
    requirements: tuple[str, ...]


RCLIP = Recipe("rclip", ("3.13", "3.12"), ("rclip>=4",))
# Its clip-anytorch imports pkg_resources, which setuptools 81 dropped.
CLIP_RETRIEVAL = Recipe(
    "clip-retrieval",
    ("3.11", "3.12", "3.10"),
    ("clip-retrieval>=2.45", "torch", "torchvision", "setuptools<81"),
)


def python_of(recipe: Recipe, work: Path) -> Path:
    """The interpreter of a peer's environment below `work`, made first where there is none.

    Ends the process with one line where no Python that the peer runs on is found.
    """
    folder = work / "environments" / recipe.name
    python = folder / "bin" / "python"
    done = folder / ".made"
    wanted = "\n".join(recipe.requirements)
    if done.is_file() and done.read_text() == wanted:
        return python
    base = find_python(recipe.pythons)
    if base is None:
        sys.exit(
            f"{recipe.name} needs Python {' or '.join(recipe.pythons)}, and none is on PATH or in "
            "pyenv: `pyenv install` one"
        )
    sys.stderr.write(f"installing {recipe.name} into {folder}\n")
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([base, "-m", "venv", folder], check=True)
    pip = [python, "-m", "pip", "install", "-qq", "--upgrade"]
    subprocess.run([*pip, *recipe.requirements], check=True)
    done.write_text(wanted)
    return python


def find_python(versions: Sequence[str]) -> str | None:
    """A Python of one of these versions (as in "3.12"), the first that runs."""
    for version in versions:
        for candidate in _candidates(version):
            try:
                answer = subprocess.run([candidate, "-c", ASK], capture_output=True, text=True)
            except OSError:
                continue
            # pyenv's stand-ins are on PATH and fail where their version is not switched on.
            if answer.returncode == 0 and answer.stdout.strip() == version:
                return candidate
    return None


def _candidates(version: str) -> Iterator[str]:
    yield sys.executable
    found = shutil.which(f"python{version}")
    if found:
        yield found
    for root in filter(None, (os.environ.get("PYENV_ROOT"), Path.home() / ".pyenv")):
        installed = Path(root, "versions").glob(f"{version}.*/bin/python")
        yield from sorted(map(str, installed), key=len, reverse=True)
