"""From labelled texts to a text classifier in the collection."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from adaptation.artifact_writer import check_name, save
from adaptation.calibration import calibration_error, fit_temperature
from adaptation.comparison import compare
from adaptation.data.checks import Finding
from adaptation.methods.linear_probe import LinearProbe
from adaptation.model_selection import choose
from adaptation.open_set import learn_rejection
from adaptation.task import Fitted, Rows, Task
from adaptation.tuning.settings import Tuning
from indexer.bundles.bundle import Bundle
from indexer.errors import ExamplesError
from indexer.store.collection import Collection
from search.labels.artifact import Arrays
from search.labels.heads import Floats
from search.labels.text_classifier import ENCODER, TextClassifier, texts_folder

from .examples import LabelledTexts, check_texts
from .settings import PROBE
from .sources import Source

Report = Callable[[str], None]


@dataclass(frozen=True)
class LearntText:
    """A text classifier, and what was found on the way.

    Attributes:
        classifier: The classifier, as it was saved.
        findings: What the checks found.
        metrics: Shares from 0 to 1, by what they were measured on: "held_out" (None where nothing
            could be held out) and "validation" (read once).
    """

    classifier: TextClassifier
    findings: tuple[Finding, ...]
    metrics: dict[str, Any]


@dataclass(frozen=True)
class _Trained:
    """What a method came to.

    Attributes:
        head: Classifies vectors.
        arrays: The head's, and what rejects texts of no class.
        tower: The tuned tower in torch; None if the source's own is used.
        rows: `(m,)`, of the held-out texts.
        logits: `(m, classes)`, theirs.
        metadata: What else the manifest says.
    """

    head: Fitted
    arrays: Arrays
    tower: Any
    rows: Rows
    logits: Floats
    metadata: dict[str, Any]


def learn_text(
    collection: Collection,
    name: str,
    examples: LabelledTexts,
    source: Source,
    settings: Tuning | None,
    run: Path,
    *,
    validation: LabelledTexts | None = None,
    seed: int = 0,
    device: str = "cpu",
    force: bool = False,
    on_note: Report = lambda line: None,
) -> LearntText:
    """Learn, calibrate, measure and save a text classifier.

    Args:
        collection: Where it is saved.
        name: What it is called.
        examples: What to learn from.
        source: The text encoder.
        settings: How to train the text tower; None for a probe on the frozen one.
        run: The folder of a training run's state.
        validation: Texts of the same classes, only measured on.
        seed: Of the folds, the order and random weights.
        device: Where a tower is trained.
        force: Go on where a check objects, and save what is below the largest class.
        on_note: Called with each warning, and single lines of progress.

    Raises:
        ExamplesError: A check objects, or the classifier is below the largest class by more than
            chance explains.
        ArtifactError: The name is not allowed.
        CollectionStorageError: It cannot be written.
    """
    check_name(name)
    findings = check_texts(examples, validation)
    _refuse(findings, force, on_note, "trains all the same")
    trained = (
        _probe(source, examples, seed)
        if settings is None
        else _tuned(source, examples, settings, run, device, on_note)
    )
    targets = examples.targets[trained.rows]
    temperature = fit_temperature(trained.logits, targets) if len(targets) else 1.0
    metrics: dict[str, Any] = {"held_out": None, "validation": None}
    if len(targets):
        groups = examples.copies()[trained.rows]
        metrics["held_out"], below = _measured(
            "held-out texts", trained.logits, targets, groups, temperature, examples
        )
        _refuse(below, force, on_note, "saves it all the same")
        findings += below
    else:
        on_note("note: nothing could be held out, as a class has one text only: its accuracy is "
                "unknown")  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="clipdex-text-") as place:
        encoder = Path(place) / ENCODER
        made: Bundle | None = None
        if trained.tower is not None or not source.is_model:
            encoder.mkdir()
            made = source.write(trained.tower, encoder, name, {"method": _method(settings)})
        if validation is not None:
            logits = trained.head.logits(_vectors(source, made, list(validation.texts)))
            metrics["validation"], _ = _measured(
                "validation texts",
                logits,
                validation.targets,
                validation.copies(),
                temperature,
                examples,
            )
        metadata = {
            "kind": trained.head.kind,
            "task": "text",
            "classes": list(examples.classes),
            "fingerprint": source.fingerprint if made is None else made.fingerprint,
            "model": source.name,
            "temperature": temperature,
            "method": _method(settings),
            "seed": seed,
            "examples": examples.counts(),
            "metrics": metrics,
            "warnings": [asdict(one) for one in findings],
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            **trained.metadata,
        }
        beside = {}
        if made is not None:
            from indexer.model_name import MANIFEST
            from indexer.store.content_hash import digest

            metadata["encoder"] = digest((encoder / MANIFEST).read_bytes()).hex()
            beside = {ENCODER: encoder}
        folder = save(
            texts_folder(collection.folder), name, metadata, trained.arrays, beside=beside
        )
    if settings is not None:
        shutil.rmtree(run, ignore_errors=True)
    return LearntText(TextClassifier.load(folder), tuple(findings), metrics)


def _method(settings: Tuning | None) -> str:
    return PROBE if settings is None else settings.method


def _probe(source: Source, examples: LabelledTexts, seed: int) -> _Trained:
    vectors = source.vectors(list(examples.texts))
    names = np.zeros((len(examples.classes), vectors.shape[1]), np.float32)
    copies = examples.copies()
    task = Task(vectors, examples.targets, names, 1.0, examples.classes, copies=copies)
    choice = choose(LinearProbe(), task, seed)
    head = choice.method.fit(task, seed)
    arrays: Arrays = {**head.arrays, **learn_rejection(task)}
    metadata = {"config": asdict(choice.method), "settings_tried": choice.tried}
    return _Trained(head, arrays, None, choice.rows, choice.logits, metadata)


def _tuned(
    source: Source,
    examples: LabelledTexts,
    settings: Tuning,
    run: Path,
    device: str,
    on_note: Report,
) -> _Trained:
    from .tuned import tune_text

    found = tune_text(source, examples, settings, run, device=device, on_note=on_note)
    right = float((found.logits.argmax(axis=1) == examples.targets[found.held_out]).mean())
    if right < found.probe:
        on_note(
            f"note: a probe on the tower as it was is right on {found.probe:.1%} of the same "
            f"held-out texts, more than this with {right:.1%}: leave out --method"
        )
    metadata = {
        "config": asdict(settings),
        "learnt": found.learnt,
        "epochs": found.epochs,
        "probe": found.probe,
    }
    arrays = found.head.arrays
    return _Trained(found.head, arrays, found.tower, found.held_out, found.logits, metadata)


def _vectors(source: Source, made: Bundle | None, texts: list[str]) -> Any:
    """Return vectors as the saved classifier will make them."""
    if made is None:
        return source.vectors(texts)
    from indexer.encoders.onnx_encoder import OnnxEncoder

    return OnnxEncoder(made, device="cpu", made_here=True).encode_texts(texts)


def _measured(
    on: str,
    logits: Floats,
    targets: Any,
    groups: Any,
    temperature: float,
    examples: LabelledTexts,
) -> tuple[dict[str, Any], list[Finding]]:
    """Return metrics of texts, and what is wrong if always saying the largest class is better.

    Equal texts, of one group, are right or wrong together.
    """
    largest = int(np.bincount(examples.targets).argmax())
    right = logits.argmax(axis=1) == targets
    found = compare(on, right, targets == largest, groups)
    metrics = {
        "texts": len(targets),
        "accuracy": found.accuracy,
        "margin": found.margin,
        "largest_class": found.zero_shot,
        "calibration_error": calibration_error(logits, targets, temperature),
        "uncalibrated_error": calibration_error(logits, targets),
    }
    if not found.below:
        return metrics, []
    return metrics, [
        Finding(
            "below-largest-class",
            f"it is right on {found.accuracy:.1%} of {len(targets):,} {on}, and always saying "
            f"{examples.classes[largest]!r} on {found.zero_shot:.1%}: add texts, or choose another "
            "--method",
        )
    ]


def _refuse(findings: list[Finding], force: bool, on_note: Report, forced: str) -> None:
    """Raise ExamplesError for findings, or with `force` only tell of them."""
    if findings and not force:
        raise ExamplesError("; ".join(one.message for one in findings) + f". --force {forced}")
    for one in findings:
        on_note(f"warning: {one.message}")
