"""Shows the progress of index runs and downloads: a bar with rate and time left, on a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from indexer.build_collection import Progress
from indexer.notices import listen

from .console import note, visible

TITLES = {
    "scan": "Scanning",
    "index": "Indexing",
    "publish": "Writing vectors",
    "codes": "Making codes",
}


class ProgressBar:
    """A progress bar on stderr, if that is a terminal; messages go above it."""

    def __init__(self) -> None:
        self._bar = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                TextColumn,
                TimeRemainingColumn,
            )
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
                speed_estimate_period=60,
            )
            self._task = self._bar.add_task(TITLES["scan"], total=None, rate="")
            self._stage = "scan"

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            listen(self.note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            listen(note)
            self._bar.stop()

    def update(self, progress: Progress) -> None:
        """Show how far the run has come."""
        if self._bar is None:
            return
        if progress.stage != self._stage:
            self._stage = progress.stage
            self._bar.reset(self._task, description=TITLES[progress.stage], rate="")
        speed = self._bar.tasks[0].speed if self._bar.tasks else None
        self._bar.update(
            self._task,
            completed=progress.done,
            total=progress.total or None,
            rate=f"{speed:,.0f} images/s" if speed and progress.stage == "index" else "",
        )

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        if self._bar is not None:
            self._bar.console.print(visible(text), markup=False, highlight=False)
        else:
            note(text)


@contextmanager
def download_bar() -> Iterator[Callable[[int, int], None]]:
    """Yield what shows how many bytes of how many have arrived, if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, of: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    bar = Bar(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("", total=None, visible=False)

    def show(done: int, of: int) -> None:
        bar.start()
        bar.update(task, completed=done, total=of, visible=True)

    try:
        yield show
    finally:
        bar.stop()
