"""Search results, as Python, JSON and tables see them."""

import base64
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def display(path: bytes) -> str:
    """A path as text for people: bytes that are no UTF-8 become U+FFFD."""
    return path.decode("utf-8", "replace")


def path_facts(path: bytes) -> dict[str, str]:
    """`path` for people, and `path_b64` with the bytes where they differ."""
    text = display(path)
    if text.encode() == path:
        return {"path": text}
    return {"path": text, "path_b64": base64.b64encode(path).decode("ascii")}


@dataclass(frozen=True)
class Hit:
    """One picture found.

    id: its content's, never reused. raw_paths: absolute, every file that holds it, oldest entry
    first. score: cosine of the query and the picture. relevance: estimated P(match) in [0, 1],
    None where the model carries no estimate. width, height: in pixels, upright. collapsed: the
    near-duplicates that this hit stands for; None where none were looked for.
    """

    rank: int
    id: int
    raw_paths: tuple[bytes, ...]
    score: float
    relevance: float | None
    width: int
    height: int
    collapsed: "tuple[Hit, ...] | None" = None

    @property
    def path(self) -> str:
        """The first path, for people."""
        return display(self.raw_paths[0])

    @property
    def paths(self) -> list[str]:
        """All paths, for people."""
        return [display(path) for path in self.raw_paths]

    @property
    def file(self) -> Path:
        """The first path, for opening."""
        return Path(os.fsdecode(self.raw_paths[0]))

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        facts: dict[str, Any] = {
            "rank": self.rank,
            "id": self.id,
            **path_facts(self.raw_paths[0]),
            "paths": self.paths,
            "score": round(self.score, 6),
            "relevance": self.relevance,
        }
        if self.collapsed is not None:
            facts["collapsed"] = [
                {"id": hit.id, **path_facts(hit.raw_paths[0]), "paths": hit.paths}
                for hit in self.collapsed
            ]
        return facts
