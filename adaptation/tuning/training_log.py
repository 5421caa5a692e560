"""The metrics of each epoch: a CSV, and on request TensorBoard's event files."""

import csv
from pathlib import Path
from typing import Any

from indexer.errors import ExamplesError
from indexer.writable import obstacle

LOG = "log.csv"


class Log:
    """Writes the history of a run."""

    def __init__(self, folder: Path, events: Path | None = None) -> None:
        """Open the log.

        Args:
            folder: Where the CSV is written.
            events: TensorBoard's folder; None to write no events.

        Raises:
            ExamplesError: TensorBoard is not installed, or the folder is not writable.
        """
        self.folder = folder
        self._events: Any = None
        if events is not None:
            self._events = require_tensorboard(events)(str(events))
        self._written = 0

    def write(self, history: list[dict[str, float]]) -> None:
        """Write all epochs so far to the CSV, and the new ones to TensorBoard."""
        with open(self.folder / LOG, "w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(history[0]))
            writer.writeheader()
            writer.writerows(history)
        if self._events is not None:
            for metrics in history[max(self._written, len(history) - 1) :]:
                for name, value in metrics.items():
                    if name != "epoch":
                        self._events.add_scalar(name, value, int(metrics["epoch"]))
            self._written = len(history)
            self._events.flush()


def require_tensorboard(events: Path) -> Any:
    """Return TensorBoard's writer, checked before a training whose events it is to write.

    Raises:
        ExamplesError: TensorBoard is not installed, or `events` is not writable.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as exc:
        raise ExamplesError(
            "--tensorboard needs the package of that name: pip install tensorboard"
        ) from exc
    reason = obstacle(events)
    if reason is not None:
        raise ExamplesError(f"--tensorboard {events}: {reason}")
    return SummaryWriter
