"""Write docs/commands.md from the commands' own help."""

import os
import subprocess
import sys
from pathlib import Path

COMMAND = Path(sys.executable).parent / "clipdex"
COMMANDS = (
    ("index",),
    ("search",),
    ("similar",),
    ("label",),
    ("duplicates",),
    ("eval",),
    ("status",),
    ("forget",),
    ("migrate",),
    ("merge",),
    ("models", "list"),
    ("models", "recommend"),
    ("models", "pull"),
    ("models", "add"),
    ("models", "verify"),
    ("models", "export"),
    ("serve",),
    ("mcp",),
    ("watch",),
    ("adapt", "train"),
    ("adapt", "text"),
    ("adapt", "text-predict"),
    ("adapt", "domain"),
    ("adapt", "distance"),
    ("adapt", "compare"),
    ("adapt", "tune"),
    ("adapt", "merge"),
    ("adapt", "concept"),
    ("adapt", "list"),
    ("adapt", "show"),
    ("adapt", "remove"),
    ("tags", "add"),
    ("tags", "remove"),
    ("tags", "list"),
    ("tags", "export"),
    ("tags", "undo"),
    ("demo",),
)


def reference() -> str:
    """Return the page, made of the help of the installed command."""
    parts = ["# Commands\n\nWritten by `make docs` from `clipdex COMMAND --help`.\n"]
    for command in ((), *COMMANDS):
        text = subprocess.check_output(
            [COMMAND, *command, "--help"],
            text=True,
            env={**os.environ, "COLUMNS": "90", "NO_COLOR": "1", "TERM": "dumb"},
        )
        lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
        parts.append(f"## {' '.join(('clipdex', *command))}\n\n```text\n{lines}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    (Path(__file__).parents[1] / "docs" / "commands.md").write_text(reference(), encoding="utf-8")
