"""The process that keeps a server's collection up to date with folders (`serve --watch`)."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from indexer.devices.processes import SPAWN, end_with_parent, sheltered
from indexer.errors import ClipdexError
from indexer.images.memory_budget import BUDGET
from indexer.store.collection import Collection

log = logging.getLogger("clipdex.watch")

END_SECONDS = 10.0


def start_watching(
    folders: Sequence[Path], collection: Collection, prepare: Callable[[], None]
) -> Callable[[], None]:
    """Watch folders in a process of its own.

    Args:
        folders: The folders.
        collection: What they are indexed into.
        prepare: Called first in the process, such as to set up the log.

    Returns:
        What ends it; what it has committed is kept.
    """
    with sheltered():
        process = SPAWN.Process(
            target=_watch, args=(list(folders), collection, prepare), name="clipdex watch"
        )
        process.start()

    def end() -> None:
        process.terminate()
        process.join(END_SECONDS)
        process.kill()

    return end


def _watch(folders: list[Path], collection: Collection, prepare: Callable[[], None]) -> None:
    end_with_parent()
    BUDGET.split(2)  # with the server
    prepare()
    try:
        from indexer.watch import watch

        watch(
            folders,
            collection=collection,
            on_run=lambda report: log.info("%s", report),
            on_note=lambda line: log.warning("%s", line),
        )
    except ImportError as exc:
        log.error("--watch needs one more package (%s): pip install 'clipdex[watch]'", exc.name)
    except ClipdexError as exc:
        log.error("%s; the folders are not watched any more", exc)
