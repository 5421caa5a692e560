"""The report's plots, as SVG that stands inside a page."""

import io
from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .outcome import Outcome

WIDTH, HEIGHT = 6.4, 3.2


def accuracies(outcomes: Sequence[Outcome]) -> str:
    """Return a bar for each way's accuracy on the test images."""
    figure, axes = _figure(0.5 + 0.42 * len(outcomes))
    rows = list(reversed(outcomes))
    bars = axes.barh([one.title for one in rows], [100 * one.test for one in rows], color="#4a6fa5")
    axes.bar_label(bars, fmt="%.1f", padding=3)
    axes.set_xlim(0, 108)
    axes.set_xlabel("right on test images, %")
    return _svg(figure)


def curves(outcomes: Sequence[Outcome]) -> str | None:
    """Return held-out accuracy by epoch of the ways that have epochs; None where none has two."""
    trained = [one for one in outcomes if len(one.epochs) > 1]
    if not trained:
        return None
    figure, axes = _figure(HEIGHT)
    for one in trained:
        across = [epoch["epoch"] for epoch in one.epochs]
        up = [100 * epoch["held_out_accuracy"] for epoch in one.epochs]
        axes.plot(across, up, marker="o", markersize=4, label=one.title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("right on held-out images, %")
    axes.legend(frameon=False, fontsize=8)
    return _svg(figure)


def _figure(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Figure) -> str:
    """Return the figure without the parts that only a file of its own needs."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "clipdex", "svg.fonttype": "path"}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    whole = text.getvalue()
    return whole[whole.index("<svg") :]
