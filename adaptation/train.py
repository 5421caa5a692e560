"""From labelled images to a head in the collection."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from adaptation.data.checks import Finding, check, named
from adaptation.data.examples import Examples
from adaptation.data.near_duplicates import Pair, near_duplicates
from adaptation.data.scenes import scenes_of
from adaptation.data.splits import group_pairs
from indexer.encoder import BundleEncoder, Encoder, logit_scale_of
from indexer.errors import ExamplesError
from indexer.store.collection import Collection
from search.labels.artifact import Arrays
from search.labels.heads import Head, heads_folder
from search.labels.zero_shot import DEFAULT_TEMPLATES, class_vectors

from .artifact_writer import check_name, save
from .calibration import calibration_error, fit_temperature
from .comparison import Comparison, compare
from .model_selection import Choice, choose
from .needs_torch import require_torch
from .open_set import learn_rejection
from .task import Fitted, Method, Scenes, Task

if TYPE_CHECKING:  # torch's home
    from adaptation.methods.prompts import TextTower


@dataclass(frozen=True)
class Trained:
    """A head, and what was found on the way.

    Attributes:
        head: The head, as it was saved.
        findings: What the checks found.
        metrics: Shares from 0 to 1, by what they were measured on: "held_out" (by which the
            settings were chosen; None where nothing could be held out) and "validation" (read
            once), each with "zero_shot" on the same images. The outer "zero_shot" is of all
            examples.
    """

    head: Head
    findings: tuple[Finding, ...]
    metrics: dict[str, Any]


def train(
    collection: Collection,
    name: str,
    examples: Examples,
    encoder: Encoder,
    method: Method,
    *,
    model: str,
    validation: Examples | None = None,
    templates: Sequence[str] = (),
    seed: int = 0,
    force: bool = False,
    on_note: Callable[[str], None] = lambda text: None,
) -> Trained:
    """Choose the method's settings, train, calibrate, measure and save a head.

    Args:
        collection: Where the head is saved.
        name: What the head is called.
        examples: What to learn from.
        encoder: The one that made the examples' vectors.
        method: How to learn.
        model: The encoder's name.
        validation: Examples of the same classes, only measured on.
        templates: Prompt templates of the class names.
        seed: Of the folds and of random weights.
        force: Go on where a check objects, and save a head that is below zero-shot.
        on_note: Is called with each warning.

    Raises:
        ExamplesError: A check objects, the head is below zero-shot by more than chance explains,
            or the method needs torch and there is none.
        ArtifactError: The name is not allowed.
        CollectionStorageError: The head cannot be written.
    """
    check_name(name)
    from adaptation.methods.registry import METHODS

    require_torch(method, METHODS)
    everything = [examples, *([validation] if validation else [])]
    pairs = near_duplicates(
        np.concatenate([one.vectors for one in everything]),
        [path for one in everything for path in one.paths],
    )
    findings = check(examples, validation, pairs)
    _refuse(findings, force, on_note, "trains all the same")
    copies, scenes = _groups([examples], pairs)
    task = replace(task_of(examples, encoder, templates), copies=copies, scenes=scenes)
    choice = choose(method, task, seed)
    fitted = choice.method.fit(task, seed)
    compared = _compared(choice, task, fitted, examples, validation, pairs)
    for note in _notes(task, examples.classes, compared):
        on_note(f"note: {note}")
    below = [found for one in compared.values() if (found := one.finding()) is not None]
    _refuse(below, force, on_note, "saves it all the same")
    findings += below
    temperature = fit_temperature(choice.logits, choice.targets) if len(choice.targets) else 1.0
    metrics = _metrics(choice, temperature, task, fitted, validation, compared)
    arrays: Arrays = {**fitted.arrays, **learn_rejection(task)}
    metadata = {
        "kind": fitted.kind,
        "classes": list(examples.classes),
        "fingerprint": encoder.fingerprint,
        "model": model,
        "temperature": temperature,
        "method": method.name,
        "config": asdict(choice.method),
        "seed": seed,
        "templates": list(templates or DEFAULT_TEMPLATES),
        "examples": examples.counts(),
        "metrics": metrics,
        "warnings": [asdict(one) for one in findings],
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    folder = save(heads_folder(collection.folder), name, metadata, arrays)
    return Trained(Head.load(folder), tuple(findings), metrics)


def task_of(examples: Examples, encoder: Encoder, templates: Sequence[str] = ()) -> Task:
    """Return the examples together with the zero-shot weights of their classes."""
    text = class_vectors(encoder, examples.classes, templates or DEFAULT_TEMPLATES)
    scale = logit_scale_of(encoder)
    return Task(
        examples.vectors, examples.targets, text, scale, examples.classes, _text_tower(encoder)
    )


def _text_tower(encoder: Encoder) -> "Callable[[], TextTower] | None":
    """Return a function that loads the bundle's text tower into torch, once; None for no bundle."""
    if not isinstance(encoder, BundleEncoder):
        return None
    bundle = encoder.bundle

    @cache
    def load() -> "TextTower":
        from adaptation.methods.prompts import load_text_tower

        return load_text_tower(bundle)

    return load


def _refuse(
    findings: Sequence[Finding], force: bool, on_note: Callable[[str], None], forced: str
) -> None:
    """Raise ExamplesError for findings, or with `force` only tell of them."""
    if findings and not force:
        raise ExamplesError("; ".join(one.message for one in findings) + f". --force {forced}")
    for one in findings:
        on_note(f"warning: {one.message}")


def _groups(several: Sequence[Examples], pairs: Sequence[Pair]) -> tuple[Scenes, Scenes]:
    """Return which images of one or more sets are copies, and which are of one scene.

    Args:
        several: The sets, whose images are numbered one after the other.
        pairs: Near-duplicates among them and, with higher numbers, others.
    """
    vectors = np.concatenate([one.vectors for one in several])
    targets = np.concatenate([one.targets for one in several])
    copies = group_pairs(len(targets), [pair for pair in pairs if max(pair) < len(targets)])
    paths = [path for one in several for path in one.paths]
    return copies, scenes_of(vectors, targets, paths, copies)


def _compared(
    choice: Choice[Method],
    task: Task,
    fitted: Fitted,
    examples: Examples,
    validation: Examples | None,
    pairs: Sequence[Pair],
) -> dict[str, Comparison]:
    """Return how the head compares with zero-shot, by the metrics' names."""
    found, rows = {}, choice.rows
    if len(rows):
        assert task.scenes is not None
        right = choice.logits.argmax(axis=1) == choice.targets
        without = task.zero_shot().correct(task.subset(rows))
        found["held_out"] = compare("held-out examples", right, without, task.scenes[rows])
    if validation is not None:
        _, both = _groups([examples, validation], pairs)
        learned, scenes = both[: len(task.targets)], both[len(task.targets) :]
        measured = Task(validation.vectors, validation.targets, task.text, task.logit_scale)
        right, without = (one.correct(measured) for one in (fitted, task.zero_shot()))
        known = float(np.isin(scenes, learned).mean())
        found["validation"] = compare("validation images", right, without, scenes, known=known)
    return found


def _notes(task: Task, names: Sequence[str], compared: dict[str, Comparison]) -> list[str]:
    """Return what a user should know about the metrics."""
    assert task.scenes is not None
    single = [
        name
        for number, name in enumerate(names)
        if len(np.unique(task.scenes[task.targets == number])) < 2
    ]
    if "held_out" not in compared:
        notes = [
            "nothing could be held out, as each class has one example or images of one scene "
            "only: the head's accuracy is unknown, and that of zero-shot on these examples "
            f"{task.zero_shot().accuracy(task):.1%}"
        ]
    elif single:
        notes = [
            f"{named(single)} {'has' if len(single) == 1 else 'have'} one example or images of "
            "one scene only, which were trained on: the accuracy is that of the other classes"
        ]
    else:
        notes = []
    return notes + [note for one in compared.values() for note in one.doubts()]


def _metrics(
    choice: Choice[Method],
    temperature: float,
    task: Task,
    fitted: Fitted,
    validation: Examples | None,
    compared: dict[str, Comparison],
) -> dict[str, Any]:
    metrics: dict[str, Any] = {
        "zero_shot": task.zero_shot().accuracy(task),
        "settings_tried": choice.tried,
        "held_out": None,
        "validation": None,
    }
    if held_out := compared.get("held_out"):
        metrics["held_out"] = {
            **held_out.metrics(),
            "calibration_error": calibration_error(choice.logits, choice.targets, temperature),
            "uncalibrated_error": calibration_error(choice.logits, choice.targets),
        }
    if validation is not None:
        logits = fitted.logits(validation.vectors)
        metrics["validation"] = {
            **compared["validation"].metrics(),
            "calibration_error": calibration_error(logits, validation.targets, temperature),
        }
    return metrics
