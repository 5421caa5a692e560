"""Trains a text tower and its head together, in the loop that also trains image towers."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from adaptation.calibration import fit_temperature, log_loss
from adaptation.data.splits import folds
from adaptation.methods.linear_probe import COARSE, LinearProbe
from adaptation.model_selection import choose
from adaptation.task import Fitted, Rows, Task
from adaptation.tuning.checkpoint import STATE
from adaptation.tuning.objectives import Classification
from adaptation.tuning.peft.lora import add_lora, merge_lora
from adaptation.tuning.settings import Tuning
from adaptation.tuning.text_tower import Texts, encode
from adaptation.tuning.trainer import Split, Trainer
from indexer.devices.detect import devices
from indexer.devices.torch_device import find_device
from indexer.errors import ExamplesError
from indexer.store.content_hash import digest
from search.labels.heads import Floats

from .examples import LabelledTexts
from .sources import Source


@dataclass
class TunedText:
    """A tuned text tower with its head.

    Attributes:
        tower: The tower, on the CPU.
        head: Classifies its vectors.
        held_out: `(m,)`, the rows that the epoch was chosen by.
        logits: `(m, classes)`, theirs.
        probe: The accuracy of a probe on the frozen tower, on the same rows.
        learnt: How many parameters were trained.
        epochs: The metrics of each epoch.
    """

    tower: Any
    head: Fitted
    held_out: Rows
    logits: Floats
    probe: float
    learnt: int
    epochs: list[dict[str, float]]


def tune_text(
    source: Source,
    examples: LabelledTexts,
    settings: Tuning,
    folder: Path,
    *,
    device: str = "cpu",
    on_note: Callable[[str], None] = lambda line: None,
) -> TunedText:
    """Train the head on the frozen tower, then both; the best epoch on held-out texts counts.

    In the end the head is fitted again, on the tuned tower's vectors of all texts.

    Args:
        source: The encoder to start from.
        examples: What to learn from.
        settings: How to train; `method` "full", "lora" or "scratch".
        folder: Of the run's state, from which one of the same settings is resumed.
        device: Where the tower is trained; "auto" prefers a GPU.
        on_note: Called with single lines of progress.

    Raises:
        ExamplesError: Nothing can be held out, or there is nothing that LoRA could adapt.
        DeviceUnavailable: There is no such device.
    """
    copies = examples.copies()
    parts = folds(examples.targets, settings.seed, groups=copies)
    if not parts:
        raise ExamplesError(
            "at least two different texts of each class are needed, since some are held out"
        )
    rows, held = parts[0]
    torch.manual_seed(settings.seed)
    tower = source.tower(random=settings.method == "scratch")
    tower.to(find_device(next(iter(devices()), "cpu") if device == "auto" else device))
    if settings.method == "lora" and not add_lora(tower.trained, settings.rank, settings.alpha):
        raise ExamplesError(
            f"{source.name} has no linear layers that LoRA could adapt: choose --method full"
        )
    learnt = sum(p.numel() for p in tower.trained.parameters() if p.requires_grad)
    ids = source.ids(list(examples.texts))
    frozen = encode(tower, Texts(ids, source.pad, source.cut))
    names = np.zeros((len(examples.classes), frozen.shape[1]), np.float32)
    task = Task(frozen, examples.targets, names, 1.0, examples.classes, copies=copies)
    probe = _start(task.subset(rows), settings.seed)
    head = nn.Linear(frozen.shape[1], len(examples.classes))
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(probe.arrays["weights"]))
        head.bias.copy_(torch.from_numpy(probe.arrays["bias"]))
    on_note(f"{learnt:,} parameters of the text tower are trained on {len(rows):,} texts")
    folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(
        tower,
        Classification(head),
        settings,
        folder,
        steps=-(-len(rows) // settings.batch_size),
        key=_key(source, examples),
    )
    # An epoch has to be better than the probe that training starts from.
    before = log_loss(probe.logits(frozen[held]), examples.targets[held])
    trainer.best = before, 0
    training, held_out = (
        Split(Texts(ids[part], source.pad, source.cut), examples.targets[part])
        for part in (rows, held)
    )
    for metrics in trainer.run(training, held_out):
        on_note(", ".join(f"{key.replace('_', ' ')} {value:.3g}" for key, value in metrics.items()))
    merge_lora(tower.trained)
    tower = tower.cpu()
    tuned = replace(task, vectors=encode(tower, Texts(ids, source.pad, source.cut)))
    fitted, logits = _end(tuned, rows, held)
    (folder / STATE).unlink(missing_ok=True)
    accuracy = probe.accuracy(task.subset(held))
    return TunedText(tower, fitted, held, logits, accuracy, learnt, trainer.history)


def _end(task: Task, rows: Rows, held: Rows) -> tuple[Fitted, Floats]:
    """Return a probe on the tuned tower, and the logits of held-out texts by one without them.

    The head that was trained with the tower has not seen the held-out texts, and of few examples
    none should be lost.
    """
    own, other = task.subset(rows), task.subset(held)

    def quality(probe: LinearProbe) -> tuple[float, float]:
        logits = probe.fit(own, 0).logits(other.vectors)
        right = float((logits.argmax(axis=1) == other.targets).mean())
        return right, -log_loss(logits, other.targets)

    best = max(map(LinearProbe, COARSE), key=quality)
    return best.fit(task, 0), best.fit(own, 0).logits(other.vectors)


def _start(task: Task, seed: int) -> Fitted:
    """Return the probe that training starts from, divided by its temperature.

    It would otherwise be so sure of the texts that it has learned from that nothing is left to
    train the tower by.
    """
    choice = choose(LinearProbe(), task, seed)
    probe = choice.method.fit(task, seed)
    if not len(choice.targets):
        return probe
    temperature = max(1.0, fit_temperature(choice.logits, choice.targets))
    return replace(probe, arrays={k: one / temperature for k, one in probe.arrays.items()})


def _key(source: Source, examples: LabelledTexts) -> str:
    known = [source.fingerprint, *examples.classes, str(examples.targets.tolist()), *examples.texts]
    return digest("\n".join(known).encode()).hex()
