"""What a shell offers while a command is typed, as bash asks for it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.command import COMMAND, Run
from support.shapes import labelled


def offered(line: str, **environment: str) -> list[str]:
    words = line.split(" ")
    done = subprocess.run(
        [COMMAND],
        env={
            **os.environ,
            "_CLIPDEX_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
            **environment,
        },
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_commands_and_options() -> None:
    assert offered("clipdex se") == ["search", "serve"]
    assert offered("clipdex models ver") == ["verify"]
    assert offered("clipdex search --min") == ["--min-relevance"]
    assert offered("clipdex search --prev") == ["--preview"]
    assert offered("clipdex similar --no-p") == ["--no-preview"]


def test_names_of_models_heads_and_labels(clipdex: Run, tmp_path: Path) -> None:
    photos = labelled(tmp_path / "photos", range(4))
    clipdex("index", photos)
    clipdex("adapt", "train", "shapes", photos)
    clipdex("label", "--head", "shapes", "--save")
    here = {"CLIPDEX_COLLECTION": str(tmp_path / "collection")}
    assert offered("clipdex index --model p", **here) == ["pocket", "pocket-v0"]
    assert offered("clipdex models verify pocket-", **here) == ["pocket-v0"]
    assert offered("clipdex label --head ", **here) == ["shapes"]
    assert offered("clipdex search --label s", **here) == ["stripes"]
    assert offered(f"clipdex label --collection {tmp_path / 'collection'} --head s") == ["shapes"]


def test_nothing_is_said_where_nothing_is_known(tmp_path: Path) -> None:
    here = {"CLIPDEX_COLLECTION": str(tmp_path / "none")}
    assert offered("clipdex search --label ", **here) == []
    assert offered("clipdex label --head ", **here) == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_it_is_installed_by_one_command(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "SHELL": "/bin/bash"}
    done = subprocess.run(
        # It looks at the process that started it: a shell that has nothing left to do makes way.
        ["bash", "-c", f"{COMMAND} --install-completion; exit $?"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    script = f"source {tmp_path}/.bashrc; complete -p clipdex"
    found = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True)
    assert "_clipdex_completion" in found.stdout, found.stderr
