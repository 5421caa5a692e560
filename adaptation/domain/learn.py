"""From labelled images of one domain and unlabelled ones of another to a head in the collection."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from adaptation.artifact_writer import check_name, save
from adaptation.calibration import fit_temperature
from adaptation.comparison import compare
from adaptation.data.checks import Finding
from adaptation.data.examples import Examples
from adaptation.data.grouping import copies_and_scenes
from adaptation.data.splits import scene_folds
from adaptation.open_set import learn_rejection
from adaptation.task import Fitted, Scenes, Targets, Task
from adaptation.train import task_of
from indexer.encoder import Encoder
from indexer.errors import ExamplesError
from indexer.store.collection import Collection
from search.labels.artifact import Arrays
from search.labels.heads import Floats, Head, heads_folder
from search.labels.zero_shot import DEFAULT_TEMPLATES

from .distance import distances
from .selection import Selected, select, source_only
from .shift import Aligner, Shift
from .unlabelled import Unlabelled

Report = Callable[[str], None]


@dataclass(frozen=True)
class Domains:
    """The images of both domains, by one encoder.

    Attributes:
        source: The labelled images.
        target: The images whose labels are wanted.
        labelled: Labelled images of the target to learn from; None where there are none.
        validation: Labelled images of the target to measure on.
    """

    source: Examples
    target: Unlabelled
    labelled: Examples | None = None
    validation: Examples | None = None

    def shift(self, encoder: Encoder, templates: Sequence[str]) -> Shift:
        """Return them as arrays, the source with its scenes."""
        copies, scenes = scenes_in(self.source)
        source = replace(task_of(self.source, encoder, templates), copies=copies, scenes=scenes)
        labelled = None if self.labelled is None else examples_like(source, self.labelled)
        return Shift(source, self.target.vectors, labelled)


@dataclass(frozen=True)
class Crossed:
    """A head for another domain.

    Attributes:
        head: The head, as it was saved.
        metrics: What was measured: see `measure`.
    """

    head: Head
    metrics: dict[str, Any]


def learn(
    collection: Collection,
    name: str,
    domains: Domains,
    encoder: Encoder,
    aligner: Aligner,
    *,
    model: str,
    templates: Sequence[str] = (),
    findings: Sequence[Finding] = (),
    seed: int = 0,
    force: bool = False,
    on_note: Report = lambda text: None,
) -> Crossed:
    """Choose the method's settings without labels of the target, train, measure and save a head.

    Args:
        collection: Where the head is saved.
        name: What the head is called.
        domains: The images.
        encoder: The one that made their vectors.
        aligner: How to cross the gap.
        model: The encoder's name.
        templates: Prompt templates of the class names.
        findings: What was found before and forced.
        seed: Of the splits and of random weights.
        force: Save a head that labelled images of the target speak against.
        on_note: Is called with each warning.

    Raises:
        ExamplesError: On labelled images of the target, it is below zero-shot or below the head of
            the source by more than chance explains.
        ArtifactError: The name is not allowed.
        CollectionStorageError: The head cannot be written.
    """
    check_name(name)
    shift = domains.shift(encoder, templates)
    chosen, before = select(aligner, shift, seed), source_only(shift, seed)
    held = None if domains.labelled is None else _held_out(chosen, aligner, shift, domains, seed)
    metrics, against = measure(shift, chosen, before, domains.validation, held)
    refuse(against, force, on_note)
    made = save_head(
        collection,
        name,
        chosen.fitted,
        shift,
        domains,
        logits=(chosen.logits, chosen.targets) if held is None else (held.logits, held.targets),
        metadata={
            "fingerprint": encoder.fingerprint,
            "model": model,
            "method": chosen.method,
            "config": chosen.setting,
            "seed": seed,
            "templates": list(templates or DEFAULT_TEMPLATES),
            "metrics": metrics,
            "warnings": [asdict(one) for one in (*findings, *against)],
        },
    )
    return Crossed(made, metrics)


@dataclass(frozen=True)
class HeldOut:
    """Labelled images of the target by heads that did not learn from them.

    Attributes:
        logits: `(n, classes)`, of the aligned head.
        plain: `(n, classes)`, of the head of the same labels without alignment.
        zero_shot: `(n, classes)`, of the class names alone.
        targets: `(n,)`.
        scenes: `(n,)`.
    """

    logits: Floats
    plain: Floats
    zero_shot: Floats
    targets: Targets
    scenes: Scenes


def _held_out(
    chosen: Selected, aligner: Aligner, shift: Shift, domains: Domains, seed: int
) -> HeldOut | None:
    """Hold out each labelled image of the target once; None where there are too few."""
    assert shift.labelled is not None
    assert domains.labelled is not None
    copies, scenes = scenes_in(domains.labelled)
    parts = scene_folds(shift.labelled.targets, seed, scenes, copies=copies)
    if not parts:
        return None
    settled = replace(aligner, **chosen.setting)
    logits, plain = [], []
    for rest, held in parts:
        part = replace(shift, labelled=shift.labelled.subset(rest))
        unseen = shift.labelled.vectors[held]
        logits.append(settled.fit(part, seed).fitted.logits(unseen))
        plain.append(source_only(part, seed).fitted.logits(unseen))
    rows = np.concatenate([held for _, held in parts])
    return HeldOut(
        np.concatenate(logits),
        np.concatenate(plain),
        shift.source.zero_shot().logits(shift.labelled.vectors[rows]),
        shift.labelled.targets[rows],
        scenes[rows],
    )


def measure(
    shift: Shift,
    chosen: Selected,
    before: Selected,
    validation: Examples | None,
    held: HeldOut | None,
) -> tuple[dict[str, Any], list[Finding]]:
    """Return what is known of a head, and what speaks against it.

    Args:
        shift: What it learned from.
        chosen: The head.
        before: The head of the same labels without alignment.
        validation: Labelled images of the target that it did not learn from.
        held: Labelled images of the target that were held out in turn.

    Returns:
        Metrics, with shares from 0 to 1: "source" (on held-out images of the source), "target" (on
        held-out labels of the target) and "validation", each None or with "accuracy",
        "source_only", "zero_shot" and "images"; "agreement" on the unlabelled images; "selected_by"
        and "tried"; "distance" "before", of the vectors, and "after", of the features. And the
        findings.
    """
    target = shift.target
    zero_shot = shift.source.zero_shot()
    labels = chosen.fitted.logits(target).argmax(axis=1)
    metrics: dict[str, Any] = {
        "zero_shot": zero_shot.accuracy(shift.source),
        "source": _of_source(shift, chosen, before),
        "target": None,
        "validation": None,
        "agreement": {
            "source_only": float((before.fitted.logits(target).argmax(axis=1) == labels).mean()),
            "zero_shot": float((zero_shot.logits(target).argmax(axis=1) == labels).mean()),
        },
        "selected_by": chosen.by,
        "tried": [asdict(one) for one in chosen.tried],
        "distance": distance_metrics(shift, chosen),
        **chosen.aligned.metrics,
    }
    found: list[Finding] = []
    if held is not None:
        own = held.logits, held.plain, held.zero_shot
        metrics["target"], more = compare_with_rivals(
            "held-out target labels", own, held.targets, held.scenes
        )
        found += more
    if validation is not None:
        one = examples_like(shift.source, validation)
        heads = (chosen.fitted, before.fitted, zero_shot)
        given = [head.logits(one.vectors) for head in heads]
        _, scenes = scenes_in(validation)
        metrics["validation"], more = compare_with_rivals(
            "validation images", given, one.targets, scenes
        )
        found += more
    return metrics, found


def distance_metrics(shift: Shift, chosen: Selected) -> dict[str, Any]:
    """Return the distances of both domains before and after; after is None for unmoved vectors."""
    ours, theirs = shift.source.vectors, shift.target
    after = None
    if chosen.aligned.extractor is not None:
        features = chosen.aligned.features
        after = distances(features(ours), features(theirs)).to_json()
    return {"before": distances(ours, theirs).to_json(), "after": after}


def _of_source(shift: Shift, chosen: Selected, before: Selected) -> dict[str, Any] | None:
    if not len(chosen.targets) or not len(before.targets):
        return None
    return {
        "images": len(chosen.targets),
        "accuracy": chosen.source_accuracy,
        "source_only": before.source_accuracy,
    }


def compare_with_rivals(
    on: str, logits: Sequence[Floats], targets: Targets, scenes: Scenes
) -> tuple[dict[str, Any], list[Finding]]:
    """Compare a head with its rivals on labels of the target.

    Args:
        on: What the images are, in words.
        logits: `(n, classes)` each, of the head, of that without alignment, and of zero-shot.
        targets: `(n,)`.
        scenes: `(n,)`, equal for images of one scene.

    Returns:
        Metrics, and a finding for each rival that is better by more than chance explains.
    """
    right, plain, without = (one.argmax(axis=1) == targets for one in logits)
    found, metrics = [], {}
    for rival, other, instead in (
        ("source-only", plain, "use `clipdex adapt train`, or another --method"),
        ("zero-shot", without, "label without a head (`clipdex label --labels`)"),
    ):
        compared = compare(on, right, other, scenes)
        metrics = compared.metrics()
        if compared.below:
            found.append(
                Finding(
                    f"below-{rival}",
                    f"the head is right on {compared.accuracy:.1%} of {len(targets):,} {on}, and "
                    f"{rival} on {compared.zero_shot:.1%}: {instead}",
                )
            )
    del metrics["known_scenes"]
    return {**metrics, "source_only": float(plain.mean())}, found


def refuse(against: Sequence[Finding], force: bool, on_note: Report) -> None:
    """Raise ExamplesError for what speaks against a head, or with `force` only tell of it."""
    if against and not force:
        messages = "; ".join(one.message for one in against)
        raise ExamplesError(f"{messages}. --force saves it all the same")
    for one in against:
        on_note(f"warning: {one.message}")


def save_head(
    collection: Collection,
    name: str,
    fitted: Fitted,
    shift: Shift,
    domains: Domains,
    *,
    logits: tuple[Floats, Targets],
    metadata: dict[str, Any],
) -> Head:
    """Save a head with its temperature and what it needs to reject images of no class.

    Args:
        collection: Where.
        name: What it is called.
        fitted: The head.
        shift: What it learned from.
        domains: The images of that.
        logits: Held-out logits and their classes, from which the temperature comes.
        metadata: The rest of the manifest.
    """
    arrays: Arrays = {**fitted.arrays, **_rejection(fitted, shift)}
    manifest = {
        "kind": fitted.kind,
        "classes": list(domains.source.classes),
        "temperature": fit_temperature(*logits) if len(logits[1]) else 1.0,
        "examples": domains.source.counts(),
        "target": {
            "images": len(domains.target.vectors),
            "labels": domains.labelled.counts() if domains.labelled is not None else {},
        },
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        **metadata,
    }
    return Head.load(save(heads_folder(collection.folder), name, manifest, arrays))


def _rejection(fitted: Fitted, shift: Shift) -> Arrays:
    """Learn what images of no class look like from the target, by the labels that it got.

    Beside the means of the source, every image of the target would look strange.
    """
    targets = fitted.logits(shift.target).argmax(axis=1).astype(np.int64)
    return learn_rejection(replace(shift.source, vectors=shift.target, targets=targets))


def examples_like(task: Task, examples: Examples) -> Task:
    """Return examples as a task of the same classes."""
    return replace(
        task, vectors=examples.vectors, targets=examples.targets, copies=None, scenes=None
    )


def scenes_in(examples: Examples) -> tuple[Scenes, Scenes]:
    """Return which examples are copies of each other, and which are of one scene."""
    return copies_and_scenes(examples.vectors, examples.targets, examples.paths)
