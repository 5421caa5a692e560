"""What a run's epochs came to: a CSV, and on request TensorBoard's event files."""

import csv
from pathlib import Path
from typing import Any

from indexer.errors import ExamplesError

LOG = "log.csv"


class Log:
    """folder: of the CSV. events: where TensorBoard reads; None for nowhere.

    Raises ExamplesError where TensorBoard is asked for and not installed.
    """

    def __init__(self, folder: Path, events: Path | None = None) -> None:
        self.folder = folder
        self._events: Any = None
        if events is not None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as exc:
                raise ExamplesError(
                    "--tensorboard needs the package of that name: pip install tensorboard"
                ) from exc
            self._events = SummaryWriter(str(events))
        self._told = 0

    def write(self, history: list[dict[str, float]]) -> None:
        """All epochs so far; of a run that goes on TensorBoard is told only the new ones."""
        with open(self.folder / LOG, "w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(history[0]))
            writer.writeheader()
            writer.writerows(history)
        if self._events is not None:
            for figures in history[max(self._told, len(history) - 1) :]:
                for name, value in figures.items():
                    if name != "epoch":
                        self._events.add_scalar(name, value, int(figures["epoch"]))
            self._told = len(history)
            self._events.flush()
