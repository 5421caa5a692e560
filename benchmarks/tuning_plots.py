"""Plot the results of tuning for `docs/adaptation.md`.

usage: python benchmarks/tuning_plots.py    (after tuning.py, of both names, and captions.py)
"""

import json
import statistics
from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot, ticker

matplotlib.rcParams["svg.hashsalt"] = "clipdex"
DOCS = Path(__file__).parents[1] / "docs"
RESULTS = Path(__file__).parent / "results"

Runs = dict[str, list[list[dict[str, float]]]]
"""By method, for each seed, the metrics of each epoch or alpha."""


def main() -> None:
    paintings = _runs("tuning") | _runs("efficient")
    plot_sweeps(_metrics(paintings, "sweep"))
    plot_curves(_metrics(paintings, "epochs"))
    plot_sweeps(
        _metrics(_runs("captions"), "sweep"),
        "wise_ft_captions",
        new="held-out images: mean reciprocal rank, %",
    )


def _runs(name: str) -> dict[str, list[dict[str, list[dict[str, float]]]]]:
    found = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["runs"]
    return dict(found)


def _metrics(runs: dict[str, list[dict[str, list[dict[str, float]]]]], key: str) -> Runs:
    return {name: [one[key] for one in own] for name, own in runs.items() if own[0].get(key)}


def plot_sweeps(
    runs: Runs,
    name: str = "wise_ft",
    new: str = "held-out paintings, %",
    old: str = "old queries: zero-shot on Caltech-101 photos, %",
) -> None:
    """Plot what is gained and lost between the base model and the tuned one."""
    figure, axes = pyplot.subplots(figsize=(6, 4))
    for method, own in runs.items():
        steps = [[run[at] for run in own] for at in range(len(own[0]))]
        across, up = (
            [100 * statistics.mean(one[key] for one in step) for step in steps]
            for key in ("old", "new")
        )
        axes.plot(across, up, marker="o", markersize=4, label=method)
        for at in (0, len(steps) - 1):
            axes.annotate(
                f"alpha {steps[at][0]['alpha']:g}",
                (across[at], up[at]),
                fontsize=8,
                xytext=(4, -10),
                textcoords="offset points",
            )
    axes.set_xlabel(old)
    axes.set_ylabel(new)
    _save(figure, axes, name)


def plot_curves(runs: Runs) -> None:
    """Plot accuracy on held-out images by epoch; runs that ended early keep their last value."""
    figure, axes = pyplot.subplots(figsize=(6, 4))
    for method, own in runs.items():
        length = max(len(run) for run in own)
        for run in own:
            heights = [100 * one["held_out_accuracy"] for one in run]
            (line,) = axes.plot(range(1, len(run) + 1), heights, alpha=0.25, color=_color(method))
        means = [
            100 * statistics.mean(run[min(at, len(run) - 1)]["held_out_accuracy"] for run in own)
            for at in range(length)
        ]
        axes.plot(range(1, length + 1), means, color=line.get_color(), marker="o", markersize=4,
                  label=method)  # fmt: skip
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("held-out paintings, %")
    _save(figure, axes, "tuning_curves")


def _color(method: str) -> str:
    return f"C{('full', 'lora', 'adapter', 'scratch').index(method)}"


def _save(figure: pyplot.Figure, axes: pyplot.Axes, name: str) -> None:
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(DOCS / f"{name}.svg", metadata={"Date": None})
    pyplot.close(figure)


if __name__ == "__main__":
    main()
