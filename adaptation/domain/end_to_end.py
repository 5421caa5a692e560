"""DANN through the image tower itself, by the engine that `clipdex adapt tune` trains with.

The tower, a head and a domain classifier behind the gradient-reversal layer are trained together;
the engine's schedules of the learning rate and its way back towards the old weights (WiSE-FT) stay
as they are. Epoch and mixture are chosen as `selection` chooses settings: by the held-out source's
loss plus what a fresh classifier still tells the domains apart by.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from adaptation.artifact_writer import check_name
from adaptation.data.checks import Finding
from adaptation.task import Fitted, Rows, Targets, float32
from adaptation.tuning.image_dataset import Images
from adaptation.tuning.objectives import Classification, Metrics
from adaptation.tuning.settings import Tuning
from adaptation.tuning.task_data import TaskData, start_head
from adaptation.tuning.trainer import Split
from adaptation.tuning.tune import Report, RunConfig, Tuned, tune
from indexer.bundles.bundle import Bundle
from indexer.devices.cpu_count import available_cores
from indexer.encoder import Embeddings, Encoder
from indexer.errors import ExamplesError
from indexer.images.decode import Limits
from indexer.load import load_encoder
from indexer.pipeline.embed_files import embed_files, task_of
from indexer.store.collection import Collection
from indexer.store.content_hash import digest
from indexer.store.paths import display
from search.labels.zero_shot import DEFAULT_TEMPLATES

from .distance import distances, domain_accuracy, domain_gap
from .gradient_reversal import DomainClassifier, reverse_gradient
from .learn import (
    Crossed,
    Domains,
    compare_with_rivals,
    examples_like,
    refuse,
    save_head,
    scenes_in,
)
from .schedules import reversal_strength
from .selection import BY_BOTH, PARTS, held_out_rows, source_only

# The middle one of those that are tried on stored vectors.
STRENGTH = 0.1
UNKNOWN = -1
CLASS, DOMAIN = 0, 1
SOURCE, TARGET = 0, 1


class DomainAdversarial(Classification):
    """Classes from the images that have one, and a domain that should not be told.

    Targets are `(n, 2)`: the class, or -1, and the domain, 0 or 1.
    """

    gain = "held_out_score"

    def __init__(
        self, head: nn.Linear, domains: Targets, known: Targets, strength: float = STRENGTH
    ) -> None:
        """Prepare.

        Args:
            head: The classes' head at the start.
            domains: `(n,)`, of the images that are trained on.
            known: `(n,)`, their classes, or -1.
            strength: Of the reversal at the end.
        """
        super().__init__(head)
        self.domain = DomainClassifier(head.in_features)
        self.strength = strength
        self._now = 0.0
        # Batches are mixed, and a batch's loss is the mean of its images': these weights make that
        # of the classes a mean over the labelled images, and that of the domains one over both
        # domains.
        self._of_class = len(known) / float((known != UNKNOWN).sum())
        shares = [float((domains == one).mean()) for one in (SOURCE, TARGET)]
        self._of_domain = [1 / (2 * share) for share in shares]

    def at(self, progress: float) -> None:
        """Reverse as strongly as DANN's schedule says."""
        self._now = self.strength * reversal_strength(progress)

    def loss(self, vectors: torch.Tensor, sampled: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of a batch of unit vectors `(n, dim)`."""
        known, of_target = sampled[:, CLASS], sampled[:, DOMAIN].to(vectors.dtype)
        classes = functional.cross_entropy(
            self.head(vectors), known, ignore_index=UNKNOWN, reduction="sum"
        )
        # Entries of unit vectors have size dim ** -0.5; layers are initialized for size 1.
        features = reverse_gradient(vectors * vectors.shape[1] ** 0.5, self._now)
        domains = functional.binary_cross_entropy_with_logits(
            self.domain(features),
            of_target,
            weight=torch.where(of_target == TARGET, self._of_domain[1], self._of_domain[0]),
            reduction="sum",
        )
        return (self._of_class * classes + domains) / len(vectors)

    def evaluate(self, vectors: torch.Tensor, targets: Targets) -> Metrics:
        """Return the source's metrics and how well a fresh classifier tells the domains apart."""
        ours = targets[:, DOMAIN] == SOURCE
        metrics = super().evaluate(vectors[torch.from_numpy(ours)], targets[ours, CLASS])
        found = vectors.cpu().numpy()
        gap = domain_gap(found[ours], found[~ours])
        loss = metrics["held_out_loss"] + gap
        return {
            "held_out_loss": loss,
            "held_out_score": -loss,
            "held_out_accuracy": metrics["held_out_accuracy"],
            "held_out_domain_accuracy": domain_accuracy(found[ours], found[~ours]),
        }


@dataclass(frozen=True)
class TunedAcross:
    """A model that was tuned across a gap.

    Attributes:
        tuned: The model, and how it got there.
        head: The linear head that was trained with it, for its vectors.
        held_out: The rows of the source that were not trained on.
    """

    tuned: Tuned
    head: Fitted
    held_out: Rows


def learn_end_to_end(
    collection: Collection,
    name: str,
    domains: Domains,
    encoder: Encoder,
    base: Bundle,
    settings: Tuning,
    run: RunConfig,
    *,
    templates: Sequence[str] = (),
    findings: Sequence[Finding] = (),
    force: bool = False,
    workers: int | None = None,
    on_note: Report = lambda line: None,
) -> Crossed:
    """Tune a model across a gap, measure it, and save a head for its vectors under its name.

    Args:
        collection: Where the head is saved.
        name: What the model and the head are called.
        domains: The images; labelled ones of the target are trained on, too.
        encoder: The encoder of `base`.
        base: The model to start from.
        settings: How to train.
        run: Where to compute and write.
        templates: Prompt templates of the class names.
        findings: What was found before and forced.
        force: Save a head that labelled images of the target speak against.
        workers: How many images are decoded at a time.
        on_note: Is called with single lines of progress, and with each warning.

    Raises:
        ExamplesError: Nothing of the source can be held out, or `validation` speaks against it.
        ModelError: Another model has this name.
    """
    check_name(name)
    shift = domains.shift(encoder, templates)
    made = tune_across(
        base,
        encoder,
        domains,
        settings,
        name,
        run,
        templates=templates,
        warnings=[one.check for one in findings],
        on_note=on_note,
    )
    fingerprint = made.tuned.bundle.fingerprint
    after = load_encoder(name, fingerprint=fingerprint, threads=available_cores())
    ours, theirs = (
        vectors_of(paths, after, workers) for paths in (domains.source.paths, domains.target.paths)
    )
    moved = replace(shift, source=replace(shift.source, vectors=ours), target=theirs, labelled=None)
    held = shift.source.subset(made.held_out)
    before = source_only(shift, settings.seed)
    logits = made.head.logits(ours[made.held_out])
    labels = made.head.logits(theirs).argmax(axis=1)
    plain = before.fitted.logits(shift.target).argmax(axis=1)
    names = shift.source.zero_shot()
    metrics: dict[str, Any] = {
        "zero_shot": names.accuracy(shift.source),
        "source": {
            "images": len(held.targets),
            "accuracy": float((logits.argmax(axis=1) == held.targets).mean()),
            "source_only": before.source_accuracy,
        },
        "target": None,
        "validation": None,
        "agreement": {
            "source_only": float((plain == labels).mean()),
            "zero_shot": float((names.logits(shift.target).argmax(axis=1) == labels).mean()),
        },
        "selected_by": BY_BOTH,
        "tried": made.tuned.sweep,
        "alpha": made.tuned.alpha,
        "distance": {
            "before": distances(shift.source.vectors, shift.target).to_json(),
            "after": distances(ours, theirs).to_json(),
        },
    }
    against: list[Finding] = []
    if domains.validation is not None:
        one = examples_like(shift.source, domains.validation)
        new = vectors_of(domains.validation.paths, after, workers)
        given = [
            made.head.logits(new), before.fitted.logits(one.vectors), names.logits(one.vectors)
        ]  # fmt: skip
        metrics["validation"], against = compare_with_rivals(
            "validation images", given, one.targets, scenes_in(domains.validation)[1]
        )
    refuse(against, force, on_note)
    head = save_head(
        collection,
        name,
        made.head,
        moved,
        domains,
        logits=(logits, held.targets),
        metadata={
            "fingerprint": fingerprint,
            "model": name,
            "method": "dann, end to end",
            "config": asdict(settings),
            "seed": settings.seed,
            "templates": list(templates or DEFAULT_TEMPLATES),
            "metrics": metrics,
            "warnings": [asdict(one) for one in (*findings, *against)],
        },
    )
    return Crossed(head, metrics)


def vectors_of(paths: Sequence[bytes], encoder: Encoder, workers: int | None) -> Embeddings:
    """Return the vectors `(n, dim)` of images by another encoder.

    Raises:
        ExamplesError: One cannot be read any more.
    """
    found = []
    for one in embed_files([task_of(path) for path in paths], encoder, list, workers=workers):
        if one.value is None:
            raise ExamplesError(f"{display(one.path)} cannot be read any more: {one.reason}")
        found.append(one.value)
    return np.stack(found)


def tune_across(
    base: Bundle,
    encoder: Encoder,
    domains: Domains,
    settings: Tuning,
    name: str,
    run: RunConfig,
    *,
    templates: Sequence[str] = (),
    warnings: Sequence[str] = (),
    strength: float = STRENGTH,
    on_note: Report = lambda line: None,
) -> TunedAcross:
    """Train the image tower on the source's labels and against telling the domains apart.

    Args:
        base: The model to start from.
        encoder: The encoder of `base`.
        domains: The images; labelled ones of the target are trained on, too.
        settings: How to train.
        name: What the model is called.
        run: Where to compute and write.
        templates: Prompt templates of the class names.
        warnings: The names of checks that objected, which the bundle records.
        strength: Of the reversal at the end.
        on_note: Is called with single lines of progress.

    Raises:
        ExamplesError: Nothing of the source can be held out.
        ModelError: Another model has this name.
    """
    source, target, labelled = domains.source, domains.target, domains.labelled
    shift = domains.shift(encoder, templates)
    split = held_out_rows(shift.source, settings.seed)
    if split is None:
        raise ExamplesError(
            "the source has too few different images to hold some out, by which the epoch is "
            "chosen: give more, or leave out --end-to-end"
        )
    rest, held = split
    head = start_head(shift.source.subset(rest))
    order = np.random.default_rng(settings.seed).permutation(len(target.paths))
    unseen, seen = (np.sort(rows) for rows in np.split(order, [max(2, len(order) // PARTS)]))
    training = [
        ([source.paths[row] for row in rest], source.targets[rest], SOURCE),
        ([target.paths[row] for row in seen], np.full(len(seen), UNKNOWN), TARGET),
    ]
    if labelled is not None:
        training.append((list(labelled.paths), labelled.targets, TARGET))
    held_out = [
        ([source.paths[row] for row in held], source.targets[held], SOURCE),
        ([target.paths[row] for row in unseen], np.full(len(unseen), UNKNOWN), TARGET),
    ]
    learn, judge = (_split(parts, base) for parts in (training, held_out))
    objective = DomainAdversarial(head, learn.targets[:, DOMAIN], learn.targets[:, CLASS], strength)
    known = [base.fingerprint, *source.classes, str(learn.targets.tolist()), f"{strength:g}"]
    images = [*source.digests, *target.digests, *(labelled.digests if labelled else ())]
    key = digest("\n".join(known).encode() + b"".join(images)).hex()
    data = TaskData(objective, learn, judge, key)
    tuned = tune(base, encoder, data, settings, name, run, warnings=warnings, on_note=on_note)
    arrays = float32(
        weights=objective.head.weight.detach().cpu().numpy(),
        bias=objective.head.bias.detach().cpu().numpy(),
    )
    return TunedAcross(tuned, Fitted("linear", arrays), held)


def _split(parts: Sequence[tuple[list[bytes], Targets, int]], base: Bundle) -> Split:
    paths = [path for own, _, _ in parts for path in own]
    targets = np.concatenate(
        [np.stack([own, np.full(len(own), domain)], axis=1) for _, own, domain in parts]
    )
    return Split(Images(paths, base.image, Limits()), targets)
