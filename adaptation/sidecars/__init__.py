"""Labels beside the photos: XMP sidecars written, and taken back.

    from adaptation.sidecars import undo, write
    write({Path("dog.jpg"): [("Animals", "Dog")]}, journal_folder)
    undo(journal_folder)

Photos are never opened. Two passes: the first keeps in a journal what every sidecar is, the second
reads each again, and writes where it is still the same. So memory holds no sidecar but one, and
whatever ends the process, the journal knows the way back.
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
    """Merge each photo's tags into its sidecar, or make one.

    tags: keywords by the path of a photo. naming: of new sidecars; where a photo has one by either
    naming, that one is merged with. dry_run: only say what would be done. What cannot be done for
    one photo is in the report, and the others go on. Raises TagError for a tag that no sidecar can
    hold and JournalError where no journal can be kept, both before anything is written.
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
    """The change if it is made. line: digest of its line in the journal."""
    if digest(line_of(change)) != line:
        return Skipped(change.photo, "somebody else changed its sidecar meanwhile")
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
