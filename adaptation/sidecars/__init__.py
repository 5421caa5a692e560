"""Labels beside the photos: writes XMP sidecars, and reverts that.

    from adaptation.sidecars import undo, write
    write({Path("dog.jpg"): [("Animals", "Dog")]}, journal_folder)
    undo(journal_folder)

Photos are never opened. There are two passes: the first records every sidecar in a journal, and the
second reads each again and writes it if it is still the same. So memory holds one sidecar at a
time, and however the process ends, the journal can restore everything.
"""

from pathlib import Path

from indexer.errors import SidecarError
from indexer.store.content_hash import digest

from .files import reason_of, replace
from .journal import Draft, line_of, sole_writer
from .planning import Change, Naming, Planner, Tags, plan
from .reports import SidecarReport, Skipped, UndoReport
from .undo import undo

__all__ = ["Naming", "SidecarReport", "Skipped", "Tags", "UndoReport", "plan", "undo", "write"]


def write(
    tags: Tags, journal_folder: Path, *, dry_run: bool = False, naming: Naming = "full"
) -> SidecarReport:
    """Merge each photo's tags into its sidecar, or create one.

    A photo whose sidecar cannot be written is reported, and the others are written.

    Args:
        tags: Keywords by the path of a photo.
        journal_folder: Where runs are recorded.
        dry_run: Only report what would be done.
        naming: Of new sidecars; an existing one of either naming is merged.

    Raises:
        TagError: A sidecar cannot hold a tag; nothing is written.
        JournalError: No journal can be written; nothing else is, either.
    """
    planner = Planner(tags, naming)
    report = SidecarReport()
    if dry_run:
        for photo in planner.tags:
            _note(planner.change(photo), report)
        return report
    with sole_writer(journal_folder), Draft(journal_folder) as draft:
        lines: dict[bytes, bytes] = {}
        for photo in planner.tags:
            change = planner.change(photo)
            if isinstance(change, Change) and change.needed:
                line = line_of(change)
                draft.add(line)
                lines[photo] = digest(line)
            else:
                _note(change, report)
        if lines:
            temporary = draft.keep().temporary
        for photo, line in lines.items():
            change = planner.change(photo)
            if isinstance(change, Change):
                change = _written(change, line, temporary)
            _note(change, report)
    return report


def _written(change: Change, line: bytes, temporary: bytes) -> Change | Skipped:
    """Write a change unless the sidecar differs from the journal's line, given by its digest."""
    if digest(line_of(change)) != line:
        return Skipped(change.photo, "its sidecar was changed meanwhile")
    try:
        mode = None if change.before is None else change.before.mode
        replace(change.sidecar, change.after, temporary, mode=mode)
    except (SidecarError, OSError) as exc:
        return Skipped(change.photo, reason_of(exc))
    return change


def _note(change: Change | Skipped, report: SidecarReport) -> None:
    if isinstance(change, Skipped):
        report.skipped.append(change)
    elif not change.needed:
        report.unchanged.append(change.sidecar)
    elif change.before is None:
        report.created.append(change.sidecar)
    else:
        report.merged.append(change.sidecar)
