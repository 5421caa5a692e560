"""What a run did, and what undoing one did."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from indexer.store.paths import path_fields


@dataclass(frozen=True)
class Skipped:
    """A file that was left as it is, and why."""

    path: bytes
    reason: str

    def to_json(self) -> dict[str, str]:
        """The path for people (and its bytes where they differ), and the reason."""
        return {**path_fields(self.path), "reason": self.reason}


@dataclass
class SidecarReport:
    """Sidecars by what became of them (of a dry run: would become), and photos without one.

    created, merged, unchanged: paths of sidecars. skipped: photos.
    """

    created: list[bytes] = field(default_factory=list)
    merged: list[bytes] = field(default_factory=list)
    unchanged: list[bytes] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Counts, and the skipped."""
        return {
            "created": len(self.created),
            "merged": len(self.merged),
            "unchanged": len(self.unchanged),
            "skipped": [skipped.to_json() for skipped in self.skipped],
        }


@dataclass
class UndoReport:
    """Sidecars by what became of them.

    run: the folder of the journal. restored: given back their former bytes. removed: were made by
    the run. unchanged: already as they were before it. left: somebody changed them since.
    failed: could not be reached or written; while there are any, the run can be undone again.
    """

    run: Path
    restored: list[bytes] = field(default_factory=list)
    removed: list[bytes] = field(default_factory=list)
    unchanged: list[bytes] = field(default_factory=list)
    left: list[Skipped] = field(default_factory=list)
    failed: list[Skipped] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Counts, and those that are not as before the run."""
        return {
            "run": str(self.run),
            "restored": len(self.restored),
            "removed": len(self.removed),
            "unchanged": len(self.unchanged),
            "left": [skipped.to_json() for skipped in self.left],
            "failed": [skipped.to_json() for skipped in self.failed],
        }
