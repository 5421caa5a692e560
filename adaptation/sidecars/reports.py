"""Reports of writing sidecars and of undoing that."""

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
        """Return the path as text, its bytes where they differ, and the reason."""
        return {**path_fields(self.path), "reason": self.reason}


@dataclass
class SidecarReport:
    """What was done to each sidecar, or in a dry run would be.

    Attributes:
        created: Paths of new sidecars.
        merged: Paths of sidecars that got tags.
        unchanged: Paths of sidecars that have all tags.
        skipped: Photos whose sidecar cannot be written.
    """

    created: list[bytes] = field(default_factory=list)
    merged: list[bytes] = field(default_factory=list)
    unchanged: list[bytes] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the counts, and the skipped photos."""
        return {
            "created": len(self.created),
            "merged": len(self.merged),
            "unchanged": len(self.unchanged),
            "skipped": [skipped.to_json() for skipped in self.skipped],
        }


@dataclass
class UndoReport:
    """What was done to each sidecar of a run.

    Attributes:
        run: The folder of the journal.
        restored: Sidecars that have their previous bytes again.
        removed: Sidecars that the run had created.
        unchanged: Sidecars that were already as before the run.
        left: Sidecars that were changed since the run.
        failed: Sidecars that cannot be reached or written; with any, the run can be undone again.
    """

    run: Path
    restored: list[bytes] = field(default_factory=list)
    removed: list[bytes] = field(default_factory=list)
    unchanged: list[bytes] = field(default_factory=list)
    left: list[Skipped] = field(default_factory=list)
    failed: list[Skipped] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the counts, and the sidecars that are not as before the run."""
        return {
            "run": str(self.run),
            "restored": len(self.restored),
            "removed": len(self.removed),
            "unchanged": len(self.unchanged),
            "left": [skipped.to_json() for skipped in self.left],
            "failed": [skipped.to_json() for skipped in self.failed],
        }
