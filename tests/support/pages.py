"""The commands and code of README and docs, as they are written."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.command import REPOSITORY

SHELL = ("sh", "bash", "indented")


@dataclass(frozen=True)
class Block:
    """A block of a page; indented ones hold commands, and have the language "indented"."""

    page: str
    line: int
    language: str
    text: str

    def commands(self) -> list[str]:
        """The commands of a block for the shell, each with its continuation lines."""
        joined = self.text.replace("\\\n", " ")
        return [line for line in joined.splitlines() if line.split("#")[0].strip()]


def pages() -> list[Path]:
    """The pages that a user reads; docs/commands.md is written from the commands' own help."""
    docs = [page for page in (REPOSITORY / "docs").glob("*.md") if page.name != "commands.md"]
    return [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted(docs)]


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page in order."""
    name = str(page.relative_to(REPOSITORY))
    text = page.read_text(encoding="utf-8")
    pattern = r"(?ms)^```(\w*)\n(.*?)^```|^((?:    \S[^\n]*\n)+)"
    for found in re.finditer(pattern, text):
        line = text[: found.start()].count("\n") + 1
        if found[3] is None:
            yield Block(name, line, found[1], found[2])
        elif re.match(r"    ([A-Z_]+=\S+ )*clipdex ", found[3]):
            yield Block(name, line, "indented", re.sub(r"(?m)^    ", "", found[3]))
