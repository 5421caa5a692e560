"""What is known of another domain: how far away it is, and what crosses the gap."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adaptation.data.examples import Examples
from adaptation.domain.distance import by_chance, distances, domain_accuracy
from adaptation.domain.registry import METHODS
from adaptation.domain.selection import Selected, select, source_only
from adaptation.domain.shift import Shift
from adaptation.task import Fitted, Task
from indexer.encoder import Embeddings

from .outcome import TITLES

NAMES = {
    "mmd": "squared maximum mean discrepancy",
    "proxy_a_distance": "proxy A-distance (0 to 2)",
    "frechet": "Fréchet distance",
}


@dataclass(frozen=True)
class Row:
    """One way of labelling the other domain.

    Attributes:
        method: As `adapt domain --method` names it, or what it is compared with.
        title: What it is called in the report.
        accuracy: On the other domain's labelled images; None where there are no labels.
        told_apart: The share of images whose domain a linear classifier tells by the features.
        by: What chose the settings.
    """

    method: str
    title: str
    accuracy: float | None
    told_apart: float
    by: str = ""


@dataclass(frozen=True)
class Distance:
    """A distance of the two sets of vectors, and what it would be if both were of one kind."""

    name: str
    value: float
    chance: float


@dataclass(frozen=True)
class OtherDomain:
    """What the report says of another domain.

    Attributes:
        name: What the user named.
        rows: The ways, those without alignment first.
        distances: How far away it is.
        words: What to do there.
        command: How that is done.
    """

    name: str
    rows: Sequence[Row]
    distances: Sequence[Distance]
    words: str
    command: str


def look_across(
    source: Task,
    target: Embeddings,
    labelled: Examples | None,
    name: str,
    command: str,
    seed: int = 0,
    on_note: Callable[[str], None] = lambda line: None,
) -> OtherDomain:
    """Measure what crosses the gap between labelled images and others.

    Args:
        source: The labelled examples that were learned from.
        target: `(n, dim)`, vectors of the other domain, which are aligned without labels.
        labelled: Those of them that have labels, which measure and choose nothing.
        name: What the user named.
        command: `clipdex adapt domain ...`, without its method.
        seed: Of the splits and of training.
        on_note: Is called with single lines of progress.
    """
    shift = Shift(source, target)

    def row(method: str, title: str, fitted: Fitted, found: Selected | None = None) -> Row:
        accuracy = None
        if labelled is not None:
            right = fitted.logits(labelled.vectors).argmax(axis=1) == labelled.targets
            accuracy = float(right.mean())
        features = [source.vectors, target]
        if found is not None:
            features = [found.aligned.features(one) for one in features]
        told = domain_accuracy(features[0], features[1], seed)
        return Row(method, title, accuracy, told, "" if found is None else found.by)

    alone = source_only(shift, seed)
    rows = [
        row("zero-shot", TITLES["zero-shot"], source.zero_shot()),
        row("source-only", "a head of the first domain's labels alone", alone.fitted),
    ]
    for method, kind in METHODS.items():
        on_note(f"across the gap by {method} ...")
        found = select(kind(), shift, seed)
        rows.append(row(method, f"adapt domain --method {method}", found.fitted, found))
    here, chance = distances(source.vectors, target, seed), by_chance(source.vectors, target, seed)
    measured = [
        Distance(title, getattr(here, key), getattr(chance, key)) for key, title in NAMES.items()
    ]
    words, best = _words(rows)
    if best in METHODS:
        command = f"{command} --method {best}"
    return OtherDomain(name, rows, measured, words, command if best in METHODS else "")


def _words(rows: Sequence[Row]) -> tuple[str, str]:
    """Return what to do, and the method that is meant."""
    apart = f"a linear classifier tells {rows[0].told_apart:.0%} of the images' domains"
    if any(row.accuracy is None for row in rows):
        return (
            f"{apart}, where 50% would be one domain. Without labels there nothing can be "
            "measured: label a few images and name them with --target, or align by the default "
            "method and look at what it says",
            "mmd",
        )
    best = max(rows, key=lambda row: row.accuracy or 0.0)
    alone = next(row for row in rows if row.method == "source-only")
    if best.method not in METHODS:
        return (
            f"{best.title} is best there ({best.accuracy:.1%}), and aligning the domains does not "
            f"help; {apart}",
            best.method,
        )
    return (
        f"aligned by {best.method}, {best.accuracy:.1%} are named rightly there, and "
        f"{alone.accuracy:.1%} by the first domain's labels alone; {apart} (50% would be one "
        "domain). These labels chose the method, so that on new images it may be less",
        best.method,
    )
