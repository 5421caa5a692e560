"""From labelled images to a head in the collection."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from adaptation.data.checks import Finding, check
from adaptation.data.examples import Examples
from adaptation.data.near_duplicates import near_duplicates
from adaptation.data.splits import group_pairs
from indexer.encoder import BundleEncoder, Encoder, logit_scale_of
from indexer.errors import ExamplesError
from indexer.store.collection import Collection
from search.labels.artifact import Arrays
from search.labels.heads import Head, heads_folder
from search.labels.zero_shot import DEFAULT_TEMPLATES, class_vectors

from .artifact_writer import check_name, save
from .calibration import calibration_error, fit_temperature
from .model_selection import Choice, choose
from .open_set import learn_rejection
from .task import Fitted, Method, Task

if TYPE_CHECKING:  # torch's home
    from adaptation.methods.prompts import TextTower


@dataclass(frozen=True)
class Trained:
    """A head, and what was found on the way.

    Attributes:
        head: The head, as it was saved.
        findings: What the checks found.
        metrics: Shares from 0 to 1, by what they were measured on: "held_out" (by which the
            settings were chosen) and "validation" (read once).
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
        force: Go on where a check objects.
        on_note: Is called with each warning.

    Raises:
        ExamplesError: A check objects, or the method needs torch and there is none.
        ArtifactError: The name is not allowed.
        CollectionStorageError: The head cannot be written.
    """
    check_name(name)
    require_torch(method)
    everything = [examples, *([validation] if validation else [])]
    pairs = near_duplicates(
        np.concatenate([one.vectors for one in everything]),
        [path for one in everything for path in one.paths],
    )
    findings = check(examples, validation, pairs)
    if findings and not force:
        raise ExamplesError(
            "; ".join(one.message for one in findings) + ". --force trains all the same"
        )
    for one in findings:
        on_note(f"warning: {one.message}")
    task = task_of(examples, encoder, templates)
    count = len(examples.targets)
    groups = group_pairs(count, [pair for pair in pairs if max(pair) < count])
    choice = choose(method, task, seed, groups=groups)
    fitted = choice.method.fit(task, seed)
    temperature = fit_temperature(choice.logits, choice.targets) if len(choice.targets) else 1.0
    metrics = _measure(choice, temperature, task, fitted, validation)
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


def require_torch(method: Method) -> None:
    """Raise ExamplesError if a method needs torch and there is none."""
    if method.needs_torch:
        try:
            import torch  # noqa: F401
        except ImportError as exc:
            from adaptation.methods.registry import METHODS

            others = [name for name, other in METHODS.items() if not other.needs_torch]
            raise ExamplesError(
                f"--method {method.name} needs torch, which is not installed ({exc}): pip install "
                f"'clipdex[torch]', or choose {', '.join(others[:-1])} or {others[-1]}"
            ) from exc


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


def _measure(
    choice: Choice[Method],
    temperature: float,
    task: Task,
    fitted: Fitted,
    validation: Examples | None,
) -> dict[str, Any]:
    zero_shot = Fitted(
        "linear",
        {"weights": task.logit_scale * task.text, "bias": np.zeros(task.classes, np.float32)},
    )
    metrics: dict[str, Any] = {
        "zero_shot": zero_shot.accuracy(task),
        "settings_tried": choice.tried,
        "held_out": None,
        "validation": None,
    }
    if len(choice.targets):
        metrics["held_out"] = {
            "images": len(choice.targets),
            "accuracy": choice.accuracy,
            "calibration_error": calibration_error(choice.logits, choice.targets, temperature),
            "uncalibrated_error": calibration_error(choice.logits, choice.targets),
        }
    if validation is not None:
        measured = replace(task, vectors=validation.vectors, targets=validation.targets)
        logits = fitted.logits(validation.vectors)
        metrics["validation"] = {
            "images": len(validation.targets),
            "accuracy": fitted.accuracy(measured),
            "zero_shot": zero_shot.accuracy(measured),
            "calibration_error": calibration_error(logits, validation.targets, temperature),
        }
    return metrics
