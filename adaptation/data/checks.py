"""Checks for what makes a head worse than its metrics say, made before anything is learned.

Each finding names the fault, where it is and what fixes it. `--force` trains all the same, and the
head records the findings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from indexer.store.paths import display

from .examples import Examples
from .near_duplicates import Pair

# With fewer, nothing can be held out to choose or measure by.
MIN_EXAMPLES = 2
# A class with more than this many times another's examples is predicted for the other's images.
MAX_IMBALANCE = 10


@dataclass(frozen=True)
class Finding:
    """A fault.

    Attributes:
        check: "too-few", "imbalance", "conflict", "leak" or "below-zero-shot"; checks of settings
            have others.
        message: The fault, where it is and what fixes it.
    """

    check: str
    message: str


def check(
    examples: Examples,
    validation: Examples | None = None,
    pairs: Sequence[Pair] = (),
) -> list[Finding]:
    """Return the findings, the most serious first.

    Args:
        examples: What is learned from.
        validation: What is measured on.
        pairs: Near-duplicates among the examples and, numbered after them, the validation images.
    """
    found = [_conflict(examples, pairs), _leak(examples, validation, pairs)]
    counts = examples.counts()
    return [one for one in [*found, too_few(counts), imbalance(counts)] if one is not None]


def too_few(counts: Mapping[str, int]) -> Finding | None:
    """Return what is wrong with classes of a single example; `counts` is by class."""
    few = [name for name, count in counts.items() if count < MIN_EXAMPLES]
    if not few:
        return None
    return Finding(
        "too-few",
        f"{named(few)} {'has' if len(few) == 1 else 'have'} fewer than {MIN_EXAMPLES} examples, "
        "so nothing can be held out to choose or measure by: add some",
    )


def imbalance(counts: Mapping[str, int]) -> Finding | None:
    """Return what is wrong with classes of very different sizes; `counts` is by class."""
    large, small = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    if counts[large] <= MAX_IMBALANCE * max(1, counts[small]):
        return None
    return Finding(
        "imbalance",
        f"{large!r} has {counts[large]:,} examples and {small!r} {counts[small]:,}, more than "
        f"{MAX_IMBALANCE} times as many: add to the one or take from the other",
    )


def _conflict(examples: Examples, pairs: Sequence[Pair]) -> Finding | None:
    count = len(examples.targets)
    if examples.conflicts:
        path, labels = examples.conflicts[0]
        return Finding(
            "conflict",
            f"{_images(len(examples.conflicts))} in several classes, such as {display(path)} in "
            f"{named(labels)}: leave each in one",
        )
    twice = [
        pair
        for pair in pairs
        if max(pair) < count and examples.targets[pair[0]] != examples.targets[pair[1]]
    ]
    if not twice:
        return None
    left, right = (display(examples.paths[row]) for row in twice[0])
    return Finding(
        "conflict",
        f"{_images(len(twice))} nearly alike and in different classes, such as {left} and "
        f"{right}: remove one of each",
    )


def _leak(examples: Examples, validation: Examples | None, pairs: Sequence[Pair]) -> Finding | None:
    if validation is None:
        return None
    count = len(examples.targets)
    known = {digest: row for row, digest in enumerate(examples.digests)}
    leaks = {row: known[digest] for row, digest in enumerate(validation.digests) if digest in known}
    for left, right in pairs:
        if left < count <= right:
            leaks.setdefault(right - count, left)
    if not leaks:
        return None
    row, source = min(leaks.items())
    return Finding(
        "leak",
        f"{_images(len(leaks))} of validation nearly alike or the same as training images, "
        f"such as {display(validation.paths[row])} and {display(examples.paths[source])}: take "
        "them out of one of the two",
    )


def _images(count: int) -> str:
    return "1 image is" if count == 1 else f"{count:,} images are"


def named(names: Sequence[str]) -> str:
    """Return up to three names, quoted, and how many there are besides."""
    shown = ", ".join(repr(name) for name in names[:3])
    return f"{shown} and {len(names) - 3} more classes" if len(names) > 3 else shown
