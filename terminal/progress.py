"""Shows the progress of index runs and downloads: a bar with rate and time left, on a terminal."""

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

from indexer.build_collection import Progress
from indexer.notices import listen

from .console import note, visible

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

TITLES = {"scan": "Scanning", "index": "Indexing", "publish": "Writing vectors"}


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


class Download:
    """A progress bar of a download on stderr, from the first call on, if that is a terminal."""

    def __init__(self) -> None:
        self._bar: Bar | None = None

    def __enter__(self) -> Self:
        return self

    def __call__(self, done: int, of: int) -> None:
        """Show how many bytes have arrived, and of how many."""
        if not sys.stderr.isatty():
            return
        if self._bar is None:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                DownloadColumn,
                TimeRemainingColumn,
                TransferSpeedColumn,
            )
            from rich.progress import Progress as Shown

            self._bar = Shown(
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=of)
        self._bar.update(self._task, completed=done, total=of)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
