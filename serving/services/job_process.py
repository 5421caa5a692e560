"""The process that runs one index job: a decoder's crash ends this, and not the server."""

import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from indexer import Skipped, build
from indexer.build_collection import Progress
from indexer.devices.processes import end_with_parent
from indexer.errors import ClipdexError
from indexer.images.decode import Limits
from indexer.images.memory_budget import BUDGET
from indexer.store.collection import Collection

# Seconds between two reports of progress.
REPORT_SECONDS = 0.1


def run_job(
    connection: Connection, paths: list[Path], collection: Collection, limits: Limits
) -> None:
    """Index, and report through a connection.

    The messages are ("progress", stage, done, total), ("skipped", path, reason), and at the end
    ("done", report), ("cancelled", None) or ("failed", why). Any message in the other direction
    cancels the job.

    Args:
        connection: Where the messages go.
        paths: Folders to index.
        collection: The collection.
        limits: Largest files and images to decode.
    """
    end_with_parent()
    BUDGET.split(2)  # with the server
    cancelled = threading.Event()

    def listen() -> None:
        try:
            connection.recv()
        except EOFError:
            return
        cancelled.set()

    threading.Thread(target=listen, daemon=True).start()
    reported = 0.0

    def progress(now: Progress) -> None:
        nonlocal reported
        if cancelled.is_set():
            raise KeyboardInterrupt  # which `build` ends cleanly on
        if time.monotonic() - reported >= REPORT_SECONDS or now.done in (0, now.total):
            reported = time.monotonic()
            connection.send(("progress", now.stage, now.done, now.total))

    def skip(skipped: Skipped) -> None:
        connection.send(("skipped", skipped.path, skipped.reason))

    outcome: tuple[str, Any]
    try:
        report = build(
            paths, collection=collection, limits=limits, on_progress=progress, on_skip=skip
        )
        outcome = ("done", report.to_json())
    except KeyboardInterrupt:
        outcome = ("cancelled", None)
    except ClipdexError as exc:
        outcome = ("failed", str(exc))
    connection.send(outcome)
