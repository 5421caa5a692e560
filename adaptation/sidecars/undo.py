"""Taking back what a run has written beside the photos."""

import os
from contextlib import suppress
from pathlib import Path

from indexer.errors import SidecarError
from indexer.store.content_hash import digest

from .files import read, reason_of, replace, sync_folder
from .journal import Entry, Run, last_run, sole_writer
from .reports import Skipped, UndoReport


def undo(journal_folder: Path) -> UndoReport:
    """Give every sidecar of the last run its former bytes, time of change and permissions.

    Also of a run that was cut off. Sidecars that the run made are removed; what somebody changed
    since is left alone. The next call undoes the run before; where a sidecar's folder cannot be
    reached or written, the next call tries the same run again (removing the run's own folder
    gives it up). Raises JournalError where there is nothing to undo.
    """
    with sole_writer(journal_folder):
        run = last_run(journal_folder)
        report = UndoReport(run.folder)
        swept: set[bytes] = set()
        for entry in run.entries():
            try:
                _sweep(os.path.dirname(entry.sidecar), run, swept)
                _restore(entry, run, report)
            except OSError as exc:
                report.failed.append(Skipped(entry.sidecar, reason_of(exc)))
        if not report.failed:
            run.close()
    return report


def _sweep(folder: bytes, run: Run, swept: set[bytes]) -> None:
    """Remove what a run that was cut off has left half written. Raises OSError."""
    if folder not in swept:
        # A folder that is not there may lie on a disk that is not mounted: no reason to think
        # that its sidecars are gone.
        os.stat(folder)
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(folder, run.temporary))
        swept.add(folder)


def _restore(entry: Entry, run: Run, report: UndoReport) -> None:
    try:
        now = read(entry.sidecar)
    except SidecarError as exc:
        report.left.append(Skipped(entry.sidecar, str(exc)))
        return
    before = entry.before
    if (now and now.data) == (before and before.data):
        report.unchanged.append(entry.sidecar)
    elif now is None or digest(now.data) != entry.written:
        report.left.append(Skipped(entry.sidecar, "somebody has changed it since"))
    elif before is None:
        os.unlink(entry.sidecar)
        sync_folder(os.path.dirname(entry.sidecar))
        report.removed.append(entry.sidecar)
    else:
        replace(
            entry.sidecar, before.data, run.temporary, mode=before.mode, mtime_ns=before.mtime_ns
        )
        report.restored.append(entry.sidecar)
