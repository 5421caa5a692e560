"""Settings chosen without a label of the target, and what they have to beat.

A setting of an aligner is judged on held-out images of both domains: how well the classes of the
source are told (the cross-entropy), and how well the domain still is (by how many nats a fresh
linear classifier beats chance). The sum of both is to be small, as in DANN's own objective. Where
nothing is aligned, as with pseudo-labels, reverse validation decides: a head that learns from the
labels given to the target alone should be right on the source.

Sources: Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR 2016; Zhong et al.,
Cross Validation Framework to Choose Amongst Models and Datasets for Transfer Learning, ECML 2010
(reverse validation).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from adaptation.calibration import log_loss
from adaptation.data.splits import folds, scene_folds
from adaptation.methods.zero_shot_probe import ZeroShotProbe
from adaptation.model_selection import choose
from adaptation.task import Fitted, Rows, Targets, Task
from indexer.encoder import Embeddings
from search.labels.heads import Floats

from .distance import domain_gap
from .pseudo_labels import fit_probe
from .shift import Aligned, Aligner, Shift

# How many parts the unlabelled images are cut into; one is held out.
PARTS = 5
# Of the source, for a choice that is more than chance, and for the folds of a classifier.
MIN_HELD_OUT = 4
SOURCE_ONLY = "source-only"
BY_BOTH = "the held-out source's loss plus what tells the domains apart"
BY_REVERSE = "reverse validation: a head of the target's new labels, on the source"
BY_SOURCE = "the held-out source's accuracy"
BY_DEFAULT = "nothing: it was set, or nothing could be held out"


@dataclass(frozen=True)
class Tried:
    """One setting on held-out images.

    Attributes:
        setting: The method's fields.
        score: What decided; the lowest is taken.
        source_accuracy: On the held-out source.
    """

    setting: dict[str, object]
    score: float
    source_accuracy: float


@dataclass(frozen=True)
class Selected:
    """A head that crosses the gap, or tries to.

    Attributes:
        method: The method's name.
        aligned: What the chosen setting made of all images.
        by: What chose the setting, in words.
        setting: The chosen fields.
        tried: All settings that were compared.
        logits: `(m, classes)`, of the held-out source, by a head that did not learn from it.
        targets: `(m,)`, its classes.
    """

    method: str
    aligned: Aligned
    by: str
    setting: dict[str, object]
    tried: tuple[Tried, ...] = ()
    logits: Floats = field(default_factory=lambda: np.empty((0, 0)))
    targets: Targets = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def fitted(self) -> Fitted:
        """The head."""
        return self.aligned.fitted

    @property
    def source_accuracy(self) -> float | None:
        """On the held-out source; None where nothing could be held out."""
        if not len(self.targets):
            return None
        return float((self.logits.argmax(axis=1) == self.targets).mean())


def select(aligner: Aligner, shift: Shift, seed: int = 0) -> Selected:
    """Choose a method's settings without labels of the target, and fit it on everything.

    Labelled images of the target, if there are any, are learned from and choose nothing.

    Args:
        aligner: The method; its fields that are None are chosen.
        shift: The two domains.
        seed: Of the split and of training.
    """
    candidates = aligner.candidates()
    split = held_out_rows(shift.source, seed)
    if split is None:
        chosen = candidates[0]
        return Selected(aligner.name, chosen.fit(shift, seed), BY_DEFAULT, asdict(chosen))
    rest, held = split
    order = np.random.default_rng(seed).permutation(len(shift.target))
    unseen, seen = np.split(order, [len(order) // PARTS])
    part = replace(shift, source=shift.source.subset(rest), target=shift.target[np.sort(seen)])
    validation = shift.source.subset(held)
    fits = [one.fit(part, seed) for one in candidates]
    scores = [_score(aligner, one, part, validation, shift.target[unseen]) for one in fits]
    tried = tuple(
        Tried(asdict(one), score, fit.fitted.accuracy(validation))
        for one, score, fit in zip(candidates, scores, fits, strict=True)
    )
    best = int(np.argmin(scores))
    return Selected(
        aligner.name,
        candidates[best].fit(shift, seed),
        BY_DEFAULT if len(candidates) == 1 else BY_BOTH if aligner.aligns else BY_REVERSE,
        asdict(candidates[best]),
        tried,
        fits[best].fitted.logits(validation.vectors),
        validation.targets,
    )


def source_only(shift: Shift, seed: int = 0) -> Selected:
    """Return the head that learns from the labelled images alone, as `clipdex adapt train` does."""
    chosen = choose(ZeroShotProbe(), shift.pooled(), seed).method
    aligned = Aligned(chosen.fit(shift.pooled(), seed))
    split = held_out_rows(shift.source, seed)
    if split is None:
        return Selected(SOURCE_ONLY, aligned, BY_DEFAULT, asdict(chosen))
    rest, held = (shift.source.subset(rows) for rows in split)
    fitted = chosen.fit(replace(shift, source=rest).pooled(), seed)
    logits = fitted.logits(held.vectors)
    return Selected(SOURCE_ONLY, aligned, BY_SOURCE, asdict(chosen), (), logits, held.targets)


def held_out_rows(task: Task, seed: int) -> tuple[Rows, Rows] | None:
    """Return rows to train on and rows to hold out; None where there are too few.

    Whole scenes are held out, or copies where scenes leave too few.
    """
    parts: Sequence[tuple[Rows, Rows]] = ()
    if task.scenes is not None:
        parts = scene_folds(task.targets, seed, task.scenes, copies=task.copies)
    if not parts or len(parts[0][1]) < MIN_HELD_OUT:
        parts = folds(task.targets, seed, groups=task.copies)
    return parts[0] if parts and len(parts[0][1]) >= MIN_HELD_OUT else None


def _score(
    aligner: Aligner, aligned: Aligned, part: Shift, validation: Task, unseen: Embeddings
) -> float:
    if aligner.aligns:
        loss = log_loss(aligned.fitted.logits(validation.vectors), validation.targets)
        gap = domain_gap(aligned.features(validation.vectors), aligned.features(unseen))
        return loss + gap
    return 1 - reverse_accuracy(aligned.fitted, part, validation)


def reverse_accuracy(fitted: Fitted, shift: Shift, validation: Task) -> float:
    """Return the accuracy on the source of a probe that learned the target's new labels alone.

    Args:
        fitted: Gives the labels.
        shift: Whose target is labelled.
        validation: Labelled images of the source.
    """
    targets = fitted.logits(shift.target).argmax(axis=1).astype(np.int64)
    learned = replace(shift.source, vectors=shift.target, targets=targets, copies=None, scenes=None)
    return fit_probe(learned).accuracy(validation)
