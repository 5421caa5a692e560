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
from indexer.encoder import Encoder
from indexer.errors import ExamplesError
from indexer.store.collection import Collection
from search.labels.artifact import Arrays
from search.labels.heads import Head, heads_folder
from search.labels.zero_shot import DEFAULT_LOGIT_SCALE, DEFAULT_TEMPLATES, class_vectors

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

    figures: shares from 0 to 1, by what they were measured on: "held_out" (by which the settings
    were chosen), "validation" (read once).
    """

    head: Head
    findings: tuple[Finding, ...]
    figures: dict[str, Any]


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
    """Choose the method's settings, learn, calibrate, measure and save.

    encoder: that of the examples' vectors. model: its name. validation: of the same classes, only
    measured on. templates: of the class names' texts. force: go on where a guard objects.
    Raises ExamplesError for what a guard finds, ArtifactError for a bad name.
    """
    check_name(name)
    _require_torch(method)
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
    figures = _figures(choice, temperature, task, fitted, validation)
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
        "figures": figures,
        "warnings": [asdict(one) for one in findings],
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    folder = save(heads_folder(collection.folder), name, metadata, arrays)
    return Trained(Head.load(folder), tuple(findings), figures)


def _require_torch(method: Method) -> None:
    if method.needs_torch:
        try:
            import torch  # noqa: F401
        except ImportError as exc:
            raise ExamplesError(
                f"--method {method.name} needs torch, which is not installed ({exc}): pip install "
                "'clipdex[torch]', or choose zero-shot-probe, linear-probe, prototypes, k-nn, "
                "tip-adapter or lp++"
            ) from exc


def task_of(examples: Examples, encoder: Encoder, templates: Sequence[str] = ()) -> Task:
    """The examples with their classes' zero-shot weights."""
    text = class_vectors(encoder, examples.classes, templates or DEFAULT_TEMPLATES)
    scale = float(getattr(encoder, "logit_scale", DEFAULT_LOGIT_SCALE))
    return Task(
        examples.vectors, examples.targets, text, scale, examples.classes, _text_tower(encoder)
    )


def _text_tower(encoder: Encoder) -> "Callable[[], TextTower] | None":
    """The way to the text tower in torch of an encoder that runs a bundle; taken once."""
    bundle = getattr(encoder, "bundle", None)
    if bundle is None:
        return None

    @cache
    def take() -> "TextTower":
        from adaptation.methods.prompts import take_text_tower

        return take_text_tower(bundle)

    return take


def _figures(
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
    figures: dict[str, Any] = {
        "zero_shot": zero_shot.accuracy(task),
        "settings_tried": choice.tried,
        "held_out": None,
        "validation": None,
    }
    if len(choice.targets):
        figures["held_out"] = {
            "images": len(choice.targets),
            "accuracy": choice.accuracy,
            "calibration_error": calibration_error(choice.logits, choice.targets, temperature),
            "uncalibrated_error": calibration_error(choice.logits, choice.targets),
        }
    if validation is not None:
        measured = replace(task, vectors=validation.vectors, targets=validation.targets)
        logits = fitted.logits(validation.vectors)
        figures["validation"] = {
            "images": len(validation.targets),
            "accuracy": fitted.accuracy(measured),
            "zero_shot": zero_shot.accuracy(measured),
            "calibration_error": calibration_error(logits, validation.targets, temperature),
        }
    return figures
