"""The table: a row per measurement, a column per tool, and clipdex's ratio to each peer."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from measure import spread
from peers.rounds import Values


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        figures: The values of each tool, by round.
        asked: What is asked of clipdex: of its ratios, or of its share.
        further: What was measured besides.
    """

    title: str
    figures: Values
    asked: str = ""
    ratios: bool = True
    further: dict[str, list[float]] = field(default_factory=dict)

    def cells(self) -> dict[str, str]:
        """As they stand in the table."""
        ours, *theirs = self.figures
        middle = {tool: statistics.median(values) for tool, values in self.figures.items()}
        shown = {
            tool: spread(values) if min(values) != max(values) else f"{values[0]:.4g}"
            for tool, values in self.figures.items()
        }
        ratios = {
            f"{ours} / {tool}": f"{middle[ours] / middle[tool]:.3g}"
            if self.ratios and middle.get(tool)
            else ""
            for tool in theirs
        }
        further = "; ".join(f"{name} {spread(values)}" for name, values in self.further.items())
        title = f"{self.title} ({further})" if further else self.title
        return {"measurement": title, **shown, **ratios, "asked of clipdex": self.asked}


class Kept:
    """Rows of this run and of earlier ones in a file: each part is written when it is measured, and
    a run of some parts or tools brings the table up to date.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._rows: dict[str, list[dict[str, Any]]] = {}
        if file.is_file():
            self._rows = json.loads(file.read_text())

    def add(self, part: str, rows: Sequence[Row]) -> None:
        """Keep the rows of a part; a tool that they do not name keeps its earlier values."""
        earlier = {row["title"]: row["figures"] for row in self._rows.get(part, [])}
        self._rows[part] = [
            {**asdict(row), "figures": earlier.get(row.title, {}) | row.figures} for row in rows
        ]
        self._file.write_text(json.dumps(self._rows))

    def all(self, parts: Sequence[str]) -> list[Row]:
        """The rows of these parts, in their order."""
        return [Row(**row) for part in parts for row in self._rows.get(part, [])]


def as_rows(rows: Sequence[Row]) -> list[dict[str, str]]:
    """For `measure.report`: the columns of all rows, empty where a row has no figure."""
    made = [row.cells() for row in rows]
    heads = max(made, key=len)
    return [{head: cells.get(head, "") for head in heads} for cells in made]


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Every figure of every round."""
    return [{"measurement": row.title, **row.figures, **row.further} for row in rows]
