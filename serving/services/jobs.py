"""Jobs: one at a time, in a process of its own, remembered over restarts.

What happened to jobs is kept in `jobs.json` beside the catalog. One that was running when the
server ended is "interrupted": what it had committed is kept, and the next job goes on from there.
"""

import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from indexer.devices.processes import SPAWN, sheltered
from indexer.errors import QueryError
from indexer.images.decode import Limits
from indexer.json_files import Fields, read_json
from indexer.store.collection import Collection
from indexer.store.paths import display

from .errors import JobRunning, NotAllowed, NotFound
from .job_process import run_job

log = logging.getLogger("clipdex.jobs")

KEPT = 20
MAX_SKIPPED = 100
RUNNING = ("queued", "running")
KINDS = ("index", "train")
STATES = (*RUNNING, "done", "failed", "cancelled", "interrupted")


@dataclass
class Job:
    """One run of the indexer, or one head that is learnt.

    Args:
        id: Its id.
        paths: The folders that it reads.
        created_at: When it was started, ISO 8601.
        state: "queued", "running", "done", "failed", "cancelled" or "interrupted".
        stage: As in `indexer.Progress`.
        done: Number of images that are done.
        total: Number of images to index.
        images_per_second: Mean rate so far.
        report: What the run has done, once it has ended well.
        error: Why it has failed.
        skipped: The last files that could not be read.
        finished_at: When it ended, ISO 8601.
        kind: "index" or "train".
        name: The head that is learnt.
    """

    id: str
    paths: list[str]
    created_at: str
    state: str = "queued"
    stage: str | None = None
    done: int = 0
    total: int = 0
    images_per_second: float = 0.0
    report: dict[str, Any] | None = None
    error: str | None = None
    skipped: list[dict[str, str]] = field(default_factory=list)
    finished_at: str | None = None
    kind: str = "index"
    name: str | None = None

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.state in RUNNING

    def end(self, state: str) -> None:
        """Record that it has ended; the state is set last, since other threads wait for it."""
        self.finished_at = _now()
        self.state = state


class Jobs:
    """The jobs of one server.

    Args:
        collection: The collection that they bring up to date.
        allowed: Folders that jobs may read, with links followed; without one there are no jobs.
        limits: Largest files and images to decode.
    """

    def __init__(self, collection: Collection, allowed: Iterable[Path], limits: Limits) -> None:
        self.collection = collection
        self.allowed = list(allowed)
        self._limits = limits
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._watcher: threading.Thread | None = None
        self._jobs = self._remembered()

    def all(self) -> list[Job]:
        """Return the jobs that are remembered, newest first."""
        return list(reversed(self._jobs.values()))

    def get(self, number: str) -> Job:
        """Return a job.

        Raises:
            NotFound: No job has this id.
        """
        job = self._jobs.get(number)
        if job is None:
            raise NotFound("no job has this id")
        return job

    def start(self, paths: Iterable[str]) -> Job:
        """Start a job.

        Args:
            paths: Absolute paths of folders; all that are allowed when there are none.

        Raises:
            NotAllowed: A folder is not allowed.
            NotFound: A folder does not exist.
            QueryError: A path is not absolute.
            JobRunning: Another job is running.
        """
        folders = [self._allowed(path) for path in paths] or list(self.allowed)
        if not folders:
            raise NotAllowed("no folder may be indexed from here: serve with --allow-index DIR")
        job = Job(secrets.token_hex(6), [str(folder) for folder in folders], _now())
        return self._begin(job, run_job, (folders, self.collection, self._limits))

    def train(self, name: str) -> Job:
        """Start to learn a head from the labels that the user gave.

        Args:
            name: What the head will be called.

        Raises:
            JobRunning: Another job is running.
        """
        from .training.process import run_training  # few servers learn

        job = Job(secrets.token_hex(6), [], _now(), kind="train", name=name)
        return self._begin(job, run_training, (name, self.collection))

    def _begin(self, job: Job, target: Callable[..., None], arguments: tuple[Any, ...]) -> Job:
        with self._lock:
            current = next((job for job in self._jobs.values() if job.running), None)
            if current is not None:
                raise JobRunning(current.id)
            self._jobs[job.id] = job
            while len(self._jobs) > KEPT:
                self._jobs.pop(next(iter(self._jobs)))
            self._spawn(job, target, arguments)
            self._remember()
        return job

    def cancel(self, number: str) -> Job:
        """Ask a job to end; what it has committed is kept."""
        job = self.get(number)
        with self._lock:
            if job.running and self._connection is not None:
                with suppress(OSError):
                    self._connection.send("cancel")
        return job

    def close(self) -> None:
        """Cancel the running job, and wait for it for a moment."""
        for job in self.all():
            if job.running:
                self.cancel(job.id)
        if self._watcher is not None:
            self._watcher.join(timeout=10)

    def _allowed(self, path: str) -> Path:
        """Return the folder with links followed; it must be allowed as written and as followed."""
        if "\0" in path or not os.path.isabs(path):
            raise QueryError("paths: absolute paths of folders are needed")
        try:
            real = Path(os.path.realpath(path))
        except OSError as exc:  # a folder that is replaced by a link meanwhile
            raise NotFound("there is no such folder") from exc
        written = Path(os.path.normpath(path))
        for folder in self.allowed:
            if real.is_relative_to(folder) and (
                written.is_relative_to(folder) or written.resolve() == real
            ):
                if not real.exists():
                    raise NotFound("there is no such folder")
                return real
        raise NotAllowed("this folder may not be indexed from here (--allow-index allows it)")

    def _spawn(self, job: Job, target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        ours, theirs = SPAWN.Pipe()
        with sheltered():
            process = SPAWN.Process(
                target=target, args=(theirs, *arguments), name=f"clipdex {job.kind} job"
            )
            process.start()
        theirs.close()
        self._connection = ours
        job.state = "running"

        def watch() -> None:
            started = time.monotonic()
            with suppress(EOFError, OSError):
                while job.running:
                    self._hear(job, ours.recv(), started)
            process.join()
            with self._lock:
                if job.running:
                    job.error = (
                        f"its process was ended from outside (exit code "
                        f"{process.exitcode}); what was committed is kept: start it again"
                    )
                    job.end("failed")
                self._remember()
                self._connection = None
            ours.close()

        self._watcher = threading.Thread(target=watch, name=f"{job.kind} job", daemon=True)
        self._watcher.start()

    def _hear(self, job: Job, message: tuple[Any, ...], started: float) -> None:
        match message:
            case ("progress", stage, done, total):
                job.stage, job.done, job.total = stage, done, total
                if stage == "index":
                    rate = done / max(time.monotonic() - started, 1e-9)
                    job.images_per_second = round(rate, 1)
            case ("skipped", path, reason):
                job.skipped = [
                    *job.skipped[1 - MAX_SKIPPED :],
                    {"path": display(path), "reason": reason},
                ]
            case ("done", report):
                job.report = report
                job.end("done")
            case ("failed", why):
                job.error = why
                job.end("failed")
            case ("cancelled", _):
                job.end("cancelled")

    @property
    def _file(self) -> Path:
        return self.collection.folder / "jobs.json"

    def _remember(self) -> None:
        text = json.dumps([asdict(job) for job in self._jobs.values()])
        temporary = self._file.with_suffix(".tmp")
        try:
            self.collection.folder.mkdir(parents=True, exist_ok=True)
            temporary.write_text(text)
            os.replace(temporary, self._file)
        except OSError as exc:
            log.warning("cannot write %s: %s", self._file, exc.strerror or exc)

    def _remembered(self) -> dict[str, Job]:
        try:
            jobs = [_job(fields) for fields in _list(read_json(self._file))]
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as exc:
            log.warning("%s cannot be read (%s): earlier jobs are forgotten", self._file, exc)
            return {}
        for job in jobs:
            if job.running:
                job.error = "the server ended while it ran; what was committed is kept"
                job.end("interrupted")
                log.warning("job %s was interrupted: the server ended while it ran", job.id)
        return {job.id: job for job in jobs}


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("it is not a list")
    return value


def _job(value: object) -> Job:
    """Return a job as it was written; raise ValueError if it is not one."""
    fields = Fields(value, "a job")
    skipped = [Fields(one, "an entry of 'skipped'") for one in fields.items("skipped")]
    made = Job(
        id=fields.text("id"),
        paths=list(fields.texts("paths")),
        created_at=fields.text("created_at"),
        state=fields.text("state", among=STATES),
        stage=fields.text("stage", None),
        done=fields.integer("done", 0, 2**63),
        total=fields.integer("total", 0, 2**63),
        images_per_second=fields.number("images_per_second"),
        report=fields.object("report") if fields.has("report") else None,
        error=fields.text("error", None),
        skipped=[{key: one.text(key) for key in one} for one in skipped],
        finished_at=fields.text("finished_at", None),
        kind=fields.text("kind", "index", among=KINDS),
        name=fields.text("name", None),
    )
    fields.nothing_else("report")
    return made


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
