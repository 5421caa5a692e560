"""What one way of learning reached, and how it is kept between runs."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from indexer.json_files import read_json

# The ways of learning, from the cheapest to the dearest, with what they are called in the report.
TITLES = {
    "zero-shot": "class names alone (zero-shot)",
    "few-shot": "head of five examples a class",
    "probe": "linear probe",
    "head": "head (the default of adapt train)",
    "lora": "fine-tuning by LoRA",
    "full": "fine-tuning of the whole image tower",
    "scratch": "the same tower from random weights",
}
TUNED = ("lora", "full")
TRAINED = (*TUNED, "scratch")


@dataclass(frozen=True)
class Outcome:
    """The figures of one way of learning; shares are from 0 to 1.

    Attributes:
        method: A key of `TITLES`.
        test: Accuracy on the test images, which are read once.
        train: On the images that were learned from; None where nothing was learned.
        validation: On the images that chose the settings; None where nothing could be held out.
        validated: How many images that is.
        seconds: That it took.
        peak_mib: The peak of the process's resident memory; None where it cannot be told.
        parameters: How many numbers were learned.
        predicted: The class of each test image.
        certainty: The probability of that class.
        epochs: The metrics of each epoch.
        old: The zero-shot accuracy on other images afterwards; None where the model has not moved
            or there are none.
        target: Accuracy on the labelled images of another domain.
        settings: What it was trained with.
        model: The name of the tuned model, which stays.
    """

    method: str
    test: float
    train: float | None = None
    validation: float | None = None
    validated: int = 0
    seconds: float = 0.0
    peak_mib: float | None = None
    parameters: int = 0
    predicted: tuple[int, ...] = ()
    certainty: tuple[float, ...] = ()
    epochs: tuple[dict[str, float], ...] = ()
    old: float | None = None
    target: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    model: str | None = None

    @property
    def title(self) -> str:
        """What it is called in the report."""
        return TITLES[self.method]

    def save(self, folder: Path) -> None:
        """Write it as a whole or not at all.

        Raises:
            OSError: The folder cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        beside = folder / f".{self.method}.new"
        beside.write_text(json.dumps(asdict(self)), encoding="utf-8")
        os.replace(beside, folder / f"{self.method}.json")

    @classmethod
    def load(cls, folder: Path, method: str) -> Self | None:
        """Return what an earlier run saved; None where it is missing or of another version."""
        try:
            kept = read_json(folder / f"{method}.json")
            found = cls(**kept)
        except (OSError, TypeError, ValueError):
            return None
        return found if found.method == method else None
