"""Undoes what a run has written beside the photos."""

import os
from contextlib import suppress
from pathlib import Path

from indexer.errors import SidecarError
from indexer.store.content_hash import digest

from .files import read, reason_of, replace, sync_folder
from .journal import Entry, Run, last_run, sole_writer
from .reports import Skipped, UndoReport


def undo(journal_folder: Path) -> UndoReport:
    """Restore the bytes, time of change and permissions of each sidecar of the last run.

    An interrupted run can be undone, too. Sidecars that the run created are removed, and those that
    were changed since are left alone. The next call undoes the run before. If the folder of a
    sidecar cannot be reached or written, the next call tries the same run again; removing the run's
    own folder gives it up.

    Raises:
        JournalError: There is nothing to undo, or the journal cannot be read or written.
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
    """Remove the temporary file of an interrupted run."""
    if folder not in swept:
        # A missing folder may be on a disk that is not mounted, and its sidecars still exist.
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
        report.left.append(Skipped(entry.sidecar, "it was changed since"))
    elif before is None:
        os.unlink(entry.sidecar)
        sync_folder(os.path.dirname(entry.sidecar))
        report.removed.append(entry.sidecar)
    else:
        replace(
            entry.sidecar, before.data, run.temporary, mode=before.mode, mtime_ns=before.mtime_ns
        )
        report.restored.append(entry.sidecar)
