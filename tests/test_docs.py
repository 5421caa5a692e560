"""README and docs/ agree with the code."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from adaptation.methods.registry import METHODS
from support.command import COMMAND, REPOSITORY

PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]
FOLDERS = "indexer|search|adaptation|serving|terminal|tests|benchmarks|scripts|docs"


def commands() -> list[tuple[str, ...]]:
    return list(writer().COMMANDS)


def writer():  # type: ignore[no-untyped-def]
    spec = importlib.util.spec_from_file_location(
        "write_commands", REPOSITORY / "scripts" / "write_commands.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def help_texts() -> dict[tuple[str, ...], str]:
    """What each command says to --help."""
    return {
        command: subprocess.check_output([COMMAND, *command, "--help"], text=True)
        for command in [(), *commands()]
    }


def test_every_command_is_known_to_the_reference(help_texts: dict[tuple[str, ...], str]) -> None:
    listed = help_texts[()].split("Commands:")[1]
    names = {line.split()[0] for line in listed.splitlines() if re.match(r"  \w", line)}
    assert names == {command[0] for command in commands()}


def test_the_reference_is_what_the_commands_say() -> None:
    page = (REPOSITORY / "docs" / "commands.md").read_text(encoding="utf-8")
    assert page == writer().reference(), "run `make docs`"


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_has_an_example(
    command: tuple[str, ...], help_texts: dict[tuple[str, ...], str]
) -> None:
    assert f"Example: {' '.join(('clipdex', *command))}" in help_texts[command]


def test_help_names_every_method(help_texts: dict[tuple[str, ...], str]) -> None:
    shown = help_texts["adapt", "train"]
    assert not [name for name in METHODS if name not in shown]
    needy = [name for name, method in METHODS.items() if method.needs_torch]
    sentence = re.search(r"The methods (.*?) need", " ".join(shown.split()))
    assert sentence
    assert sorted(re.split(r", | and ", sentence[1])) == sorted(needy)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_named_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / target).exists(), target
    for named in re.findall(rf"`((?:{FOLDERS})/[\w/.-]+)", text):
        assert (REPOSITORY / named).exists(), named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_that_pages_name_exist(page: Path, help_texts: dict[tuple[str, ...], str]) -> None:
    known = "".join(help_texts.values())
    text = page.read_text(encoding="utf-8")
    for line in re.findall(r"(?m)^(?:\$ )?(clipdex .*)$", text):
        for option in re.findall(r"(?<!\w)--[a-z][a-z0-9-]*", line):
            assert option in known, f"{page.name}: {line}"


def test_readme_is_short_and_opens_with_make_demo_and_make_test() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    first = text.split("```")[1]
    assert "make demo" in first
    assert "make test" in first
    assert len(text.split()) < 900


def test_readmes_python_runs(sample_photos: Path, tmp_path: Path) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.S)
    (tmp_path / "photos").mkdir()
    for name in ("chelsea.png", "coffee.png"):
        shutil.copy(sample_photos / name, tmp_path / "photos")
    told = subprocess.check_output([sys.executable, "-c", script], text=True, cwd=tmp_path)
    assert [line.rsplit("/")[-1] for line in told.splitlines()] == ["chelsea.png", "coffee.png"]


def test_models_page_names_every_architecture() -> None:
    open_clip = pytest.importorskip("open_clip")
    table = (REPOSITORY / "docs" / "models.md").read_text(encoding="utf-8").split("<!--")[1]
    rows = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")]
    assert rows[2:] == open_clip.list_models()
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.split("|")[8:10]]
        for cell in cells if line.startswith("| ") and "architecture |" not in line else []:
            assert cell.startswith(("verified", "refused (", "not ", "too large", "---"))
