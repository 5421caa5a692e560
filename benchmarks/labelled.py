"""Labelled images as tasks, and the format of shares; for the benchmarks of adaptation."""

import statistics
from pathlib import Path

from adaptation.data.examples import read_examples
from adaptation.task import Task
from adaptation.train import task_of
from indexer.encoder import Encoder
from search.evaluation.dataset import GroundTruth, read_ground_truth


def task_in(folder: Path, encoder: Encoder) -> Task:
    """Return the labelled images of a folder with one folder per class."""
    return task_of(read_examples(read_ground_truth(folder), encoder), encoder)


def zero_shot(task: Task) -> float:
    """Return the share of a task's examples that zero-shot labels classify rightly."""
    return float(((task.vectors @ task.text.T).argmax(axis=1) == task.targets).mean())


def share(values: list[float]) -> str:
    """Return mean and standard deviation, in percent."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{100 * statistics.mean(values):.1f} ± {100 * deviation:.1f}"


def few_of_each(truth: GroundTruth, each: int) -> GroundTruth:
    """Return the first images of each label."""
    counts: dict[str, int] = {}
    chosen = {}
    for path, known in truth.items():
        label = known.labels[0]
        counts[label] = counts.get(label, 0) + 1
        if counts[label] <= each:
            chosen[path] = known
    return chosen
