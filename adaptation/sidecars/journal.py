"""The state before each run, so that the run can be undone.

Each run has a numbered folder. Its `journal.jsonl` has a line for the run and a line for each
sidecar, and is durably renamed into place before the first sidecar changes. A file `undone` beside
it marks a run that was undone; the previous bytes are kept.
"""

import base64
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

from indexer.errors import JournalError
from indexer.store.content_hash import digest
from indexer.store.paths import path_fields

from .files import Kept, sync_folder
from .planning import Change

FORMAT = 1
_JOURNAL, _UNDONE = "journal.jsonl", "undone"


@dataclass(frozen=True)
class Entry:
    """A sidecar before a run, None if there was none, and the digest of what the run wrote."""

    sidecar: bytes
    before: Kept | None
    written: bytes


@dataclass(frozen=True)
class Run:
    """A run with a complete journal; `temporary` is the name that it wrote its files under."""

    folder: Path
    temporary: bytes

    def entries(self) -> Iterator[Entry]:
        """Yield the sidecars in the order of the run.

        Raises:
            JournalError: The journal is damaged.
        """
        with _reading_errors(self.folder), open(self.folder / _JOURNAL, "rb") as file:
            next(file)
            for line in file:
                yield _entry(json.loads(line))

    def close(self) -> None:
        """Mark the run as undone."""
        with _writing_errors(self.folder):
            (self.folder / _UNDONE).touch()
        sync_folder(os.fsencode(self.folder))


class Draft:
    """A journal that is being written; the context removes it unless it was kept."""

    def __init__(self, journal_folder: Path) -> None:
        with _writing_errors(journal_folder):
            number = max(_numbers(journal_folder), default=0) + 1
            self.folder = journal_folder / f"{number:06d}"
            self.folder.mkdir(mode=0o700)  # the bytes of sidecars that others may not read
            self.file: BinaryIO = open(self.folder / "draft", "wb")  # noqa: SIM115
        self.temporary = f".clipdex-{uuid.uuid4().hex}.tmp"
        self.kept = False

    def __enter__(self) -> Self:
        self._write(json.dumps({"format": FORMAT, "temporary": self.temporary}).encode())
        return self

    def add(self, line: bytes) -> None:
        """Write a line that `line_of` returned.

        Raises:
            JournalError: It cannot be written.
        """
        self._write(line)

    def keep(self) -> Run:
        """Make the journal durable and return the run.

        Raises:
            JournalError: The journal cannot be written.
        """
        with _writing_errors(self.folder):
            self.file.flush()
            os.fsync(self.file.fileno())
            os.rename(self.folder / "draft", self.folder / _JOURNAL)
            for folder in (self.folder, *self.folder.absolute().parents[:2]):
                sync_folder(os.fsencode(folder))
        self.kept = True
        return Run(self.folder, self.temporary.encode())

    def __exit__(self, *_: object) -> None:
        try:
            self.file.close()
        except OSError:
            self.kept = False  # the disk has refused its last bytes before
        if not self.kept:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, line: bytes) -> None:
        with _writing_errors(self.folder):
            self.file.write(line + b"\n")


def line_of(change: Change) -> bytes:
    """Return a change as a line of the journal; equal lines mean equal sidecars."""
    before = change.before and {
        "data": base64.b64encode(change.before.data).decode(),
        "mtime_ns": change.before.mtime_ns,
        "mode": change.before.mode,
    }
    written = digest(change.after).hex()
    return json.dumps(
        {**path_fields(change.sidecar), "before": before, "written": written}
    ).encode()


def last_run(journal_folder: Path) -> Run:
    """Return the newest run that was not undone.

    Raises:
        JournalError: There is none, or it cannot be read.
    """
    for number in sorted(_numbers(journal_folder), reverse=True):
        folder = journal_folder / f"{number:06d}"
        if (folder / _JOURNAL).exists() and not (folder / _UNDONE).exists():
            with _reading_errors(folder), open(folder / _JOURNAL, "rb") as file:
                head = json.loads(file.readline())
                if head["format"] > FORMAT:
                    raise JournalError(f"{folder} is from a newer clipdex. Undo it with that one")
                return Run(folder, head["temporary"].encode())
    raise JournalError(f"nothing to undo: {journal_folder} holds no run that was not undone")


@contextmanager
def sole_writer(journal_folder: Path) -> Iterator[None]:
    """Hold the journals' lock, which the operating system drops with the process."""
    from filelock import FileLock, Timeout

    with _writing_errors(journal_folder):
        journal_folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(journal_folder / "writer.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as exc:
            raise JournalError(
                "another clipdex is writing or undoing sidecars. Wait until it ends"
            ) from exc
    try:
        yield
    finally:
        lock.release()


def _numbers(journal_folder: Path) -> list[int]:
    try:
        return [int(name) for name in os.listdir(journal_folder) if name.isdecimal()]
    except FileNotFoundError:
        return []


def _entry(fields: dict[str, Any]) -> Entry:
    before, path = fields["before"], fields["path"].encode()
    if "path_b64" in fields:
        path = base64.b64decode(fields["path_b64"])
    if before is not None:
        data = base64.b64decode(before["data"])
        before = Kept(data, before["mtime_ns"], before["mode"])
    return Entry(path, before, bytes.fromhex(fields["written"]))


@contextmanager
def _writing_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise JournalError(
            f"cannot write a journal in {folder} ({exc.strerror or exc}), and without one no "
            "sidecar is touched. Free some space or name another folder"
        ) from exc


@contextmanager
def _reading_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        StopIteration,
        RecursionError,
    ) as exc:
        raise JournalError(f"the journal in {folder} cannot be read: {exc}") from exc
