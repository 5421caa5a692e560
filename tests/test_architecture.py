"""The import rules of docs/design.md, checked on the syntax trees."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "indexer": set(),
    "search": {"indexer"},
    "adaptation": {"indexer", "search"},
    "serving": {"indexer", "search"},
    "terminal": {"indexer", "search", "adaptation", "serving"},
    "api": {"indexer", "search", "serving"},
    "cli": {"terminal", "api"},
}
COMPILING = tuple(f"indexer/{name}.py" for name in ("openclip", "sources", "towers", "compile"))
RUNNING = tuple(
    f"indexer/{name}.py"
    for name in (
        "torch_device",
        "torch_encoder",
        "image_tower",
        "graph_weights",
        "graph_tower",
        "graph_text",
        "whole_model",
        "export",
        "kept_tower",
        "transfers",
    )
)
HOMES = {
    "torch": (*COMPILING, *RUNNING, "adaptation/", "training/"),
    "open_clip": (*COMPILING, "adaptation/", "training/"),
    "faiss": ("indexer/vectors.py", "indexer/flat.py"),
    "fastapi": ("api.py", "serving/"),
    "typer": ("cli.py", "terminal/"),
    "rich": ("cli.py", "terminal/"),
}
LONGEST_MODULE = 300


def modules() -> list[Path]:
    folders = [ROOT / name for name in MAY_IMPORT if (ROOT / name).is_dir()]
    found = [file for folder in folders for file in folder.rglob("*.py")]
    return sorted([*found, *(ROOT / f"{n}.py" for n in MAY_IMPORT if (ROOT / f"{n}.py").exists())])


def imported(tree: ast.AST) -> set[str]:
    """The top-level names that a module imports absolutely, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("module", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_its_package_may(module: Path) -> None:
    place = module.relative_to(ROOT).as_posix()
    package = place.split("/")[0].removesuffix(".py")
    tree = ast.parse(module.read_text(encoding="utf-8"))
    names = imported(tree)
    assert names & MAY_IMPORT.keys() <= MAY_IMPORT[package]
    for library, homes in HOMES.items():
        assert library not in names or place.startswith(homes), f"{place} imports {library}"
    prints = any(isinstance(node, ast.Name) and node.id == "print" for node in ast.walk(tree))
    assert not prints or package == "terminal"


@pytest.mark.parametrize("module", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_holds_one_idea(module: Path) -> None:
    assert len(module.read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE


def test_the_rules_would_notice_a_breach() -> None:
    tree = ast.parse("def f():\n    import torch.nn\n    from search.engine import Engine")
    assert imported(tree) == {"torch", "search"}
