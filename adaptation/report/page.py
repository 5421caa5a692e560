"""The report as one page: no request leaves it, and it prints."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from adaptation.data.examples import Examples
from indexer.errors import ImageError
from indexer.images.decode import Limits, decode
from indexer.sources.reading import read_location
from indexer.store.paths import display

from . import plots
from .advice import Advice, duration
from .other_domain import OtherDomain
from .outcome import Outcome

TEMPLATE = "report.html"
# In pixels; twice of what the page shows, for fine screens.
THUMBNAIL = 288
MISTAKES = 12
CONFUSED = 10
# Nobody reads a larger matrix; then only the most frequent mistakes are listed.
MAX_CLASSES = 30


@dataclass(frozen=True)
class Findings:
    """What the page shows.

    Attributes:
        data: What the user named.
        model: The name of the model that everything starts from.
        outcomes: From the cheapest way to the dearest.
        advice: What to do.
        test: The test images.
        learned: How many images were learned from.
        command: That makes the report again.
        made: When, and with what.
        before: Zero-shot accuracy on other images with the model as it was.
        domain: What is known of another domain.
        notes: What a reader should know, such as why a way was left out.
    """

    data: str
    model: str
    outcomes: Sequence[Outcome]
    advice: Advice
    test: Examples
    learned: int
    command: str
    made: str
    before: float | None = None
    domain: OtherDomain | None = None
    notes: Sequence[str] = ()

    @property
    def chosen(self) -> Outcome:
        """The outcome of the way that is recommended."""
        return next(one for one in self.outcomes if one.method == self.advice.method)


def page(found: Findings) -> str:
    """Return the report as HTML."""
    scratch = next((one.test for one in found.outcomes if one.method == "scratch"), None)

    def gap(one: Outcome) -> str:
        known = scratch is not None and one.method != "scratch"
        return f"{100 * (one.test - scratch):+.1f}" if known and scratch is not None else ""

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters.update(
        percent=lambda share: "" if share is None else f"{100 * share:.1f}",
        sentence=lambda text: text[:1].upper() + text[1:] + ("" if text[-1:] == "." else "."),
        duration=duration,
        gap=gap,
    )
    counts = confusion(found.test, found.chosen)
    curves = plots.curves(found.outcomes)
    return environment.get_template(TEMPLATE).render(
        vars(found)
        | {
            "chosen": found.chosen,
            "classes": found.test.classes,
            "tested": len(found.test.targets),
            "has_target": any(one.target is not None for one in found.outcomes),
            "old_rows": _old(found),
            "accuracies": Markup(plots.accuracies(found.outcomes)),  # our own SVG
            "curves": Markup(curves) if curves else None,
            "confused": _confused(found.test.classes, counts),
            "matrix": _matrix(found.test.classes, counts),
            "mistakes": _mistakes(found),
            "models": [one.model for one in found.outcomes if one.model],
        }
    )


def confusion(test: Examples, outcome: Outcome) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Return `(classes, classes)`, how many images of the row's class were named the column's."""
    counts = np.zeros((len(test.classes), len(test.classes)), np.int64)
    np.add.at(counts, (test.targets, np.array(outcome.predicted)), 1)
    return counts


def thumbnail(path: bytes) -> str | None:
    """Return an image as a small JPEG in base64; None where it cannot be read any more."""
    try:
        data = read_location(path, Limits())
        image = decode(data, Limits(), at_least=(THUMBNAIL, THUMBNAIL), name=path).image
    except ImageError:
        return None
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=75)
    return base64.b64encode(stream.getvalue()).decode()


def _old(found: Findings) -> list[tuple[str, float]]:
    moved = [(one.title, one.old) for one in found.outcomes if one.old is not None]
    if found.before is None or not moved:
        return []
    return [("the model as it was, which heads leave alone", found.before), *moved]


def _confused(
    names: Sequence[str], counts: "np.ndarray[Any, Any]"
) -> list[tuple[str, str, int, int]]:
    found = [
        (names[true], names[said], int(counts[true, said]), int(counts[true].sum()))
        for true, said in np.argwhere(counts).tolist()
        if true != said
    ]
    return sorted(found, key=lambda one: -one[2])[:CONFUSED]


def _matrix(
    names: Sequence[str], counts: "np.ndarray[Any, Any]"
) -> list[tuple[str, list[tuple[int, float]]]]:
    if len(names) > MAX_CLASSES:
        return []
    shares = (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)).round(2)
    return [
        (name, list(zip(row.tolist(), share.tolist(), strict=True)))
        for name, row, share in zip(names, counts, shares, strict=True)
    ]


def _mistakes(found: Findings) -> list[dict[str, Any]]:
    """Return the wrongly named test images of which the recommended way is surest."""
    predicted, certainty = np.array(found.chosen.predicted), np.array(found.chosen.certainty)
    wrong = np.flatnonzero(predicted != found.test.targets)
    surest = wrong[np.argsort(-certainty[wrong], kind="stable")][:MISTAKES]
    names = found.test.classes
    return [
        {
            "image": thumbnail(found.test.paths[row]),
            "true": names[found.test.targets[row]],
            "said": names[predicted[row]],
            "certainty": certainty[row],
            "name": display(found.test.paths[row]).rpartition("/")[2],
        }
        for row in surest.tolist()
    ]
