"""What to do, in words and with the reason.

The way that is best on the images that chose the settings is recommended; the test images, which
are read once, only check it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from .outcome import TITLES, Outcome

COMMANDS = {
    "zero-shot": "clipdex label --labels {classes}",
    "few-shot": "clipdex adapt train NAME {data}",
    "probe": "clipdex adapt train NAME {data} --method linear-probe",
    "head": "clipdex adapt train NAME {data}",
    "lora": "clipdex adapt tune NAME {data} --method lora",
    "full": "clipdex adapt tune NAME {data}",
}
# Random weights are measured only to tell what the pretrained ones are worth.
CHOICES = tuple(COMMANDS)


@dataclass(frozen=True)
class Advice:
    """What to do.

    Attributes:
        method: The way that is recommended.
        command: How it is used.
        reasons: Sentences, the most important first.
    """

    method: str
    command: str
    reasons: tuple[str, ...]


def advise(
    outcomes: Sequence[Outcome], data: str, classes: Sequence[str], before: float | None = None
) -> Advice:
    """Return what to do.

    Args:
        outcomes: What was measured, from the cheapest to the dearest.
        data: What the user named, for the command.
        classes: The names of the classes.
        before: Zero-shot accuracy on other images with the model as it was.
    """
    by_name = {one.method: one for one in outcomes}
    tried = [one for one in outcomes if one.method in CHOICES and one.validation is not None]
    if not tried:
        best = by_name["zero-shot"]
        reasons = ["nothing could be held out to choose by, so the class names alone are surest"]
    else:
        # The first of equally good ones, which is the cheapest.
        best = max(tried, key=lambda one: one.validation or 0.0)
        reasons = [
            f"it is right on {_percent(best.validation)} of the {best.validated} images that were "
            f"held out to choose by, and on {_percent(best.test)} of {len(best.predicted)} test "
            "images, which took no part in choosing"
        ]
        reasons += _cheaper(best, tried)
    zero = by_name.get("zero-shot")
    if zero is not None and best is not zero:
        reasons.append(
            f"the class names alone are right on {_percent(zero.test)} of the test images"
        )
    scratch = by_name.get("scratch")
    if scratch is not None:
        reasons.append(
            f"the same tower from random weights reaches {_percent(scratch.test)}: what the "
            f"pretrained one knew is worth {100 * (best.test - scratch.test):.0f} points here"
        )
    if best.old is not None:
        reasons.append(
            f"of the other images it names {_percent(best.old)} rightly, and the model as it was "
            f"{_percent(before)}"
        )
    command = COMMANDS[best.method].format(classes=f'"{",".join(classes)}"', data=data)
    return Advice(best.method, command, tuple(reasons))


def margin(outcome: Outcome) -> float:
    """Return two standard errors of the accuracy on the images that chose."""
    if outcome.validation is None or not outcome.validated:
        return 1.0
    share = (outcome.validation * outcome.validated + 2) / (outcome.validated + 4)
    return 2 * sqrt(share * (1 - share) / (outcome.validated + 4))


def _cheaper(best: Outcome, tried: Sequence[Outcome]) -> list[str]:
    """Return what is as good as the best as far as so few images can tell, and cheaper."""
    near = [
        one
        for one in tried
        if one.seconds < best.seconds / 2
        and (best.validation or 0) - (one.validation or 0) <= margin(best)
    ]
    if not near:
        return []
    one = max(near, key=lambda outcome: outcome.validation or 0.0)
    return [
        f"{TITLES[one.method]} is within what {best.validated} images can tell "
        f"({_percent(one.validation)}, and {_percent(one.test)} of the test images) and took "
        f"{duration(one.seconds)} instead of {duration(best.seconds)}"
    ]


def duration(seconds: float) -> str:
    """Return a time as people say it."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} minutes"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"
