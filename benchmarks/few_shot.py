"""What examples teach: the linear probe, heads by examples a class, calibration, other domains.

usage: python benchmarks/few_shot.py CALTECH101 [--pacs PACS] [--only probe,shots,...]
    CALTECH101: a folder with `train` and `val`, each of CLASS/*.jpg

Settings are chosen on the training photos alone, by the product's own code; val is read once per
metric. Where anything is sampled, there are five seeds: mean and standard deviation.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss as sklearn_log_loss

from adaptation.calibration import calibration_error, fit_temperature
from adaptation.data.splits import take_shots
from adaptation.methods.linear_probe import LinearProbe
from adaptation.methods.lp_plus_plus import LPPlusPlus
from adaptation.methods.mlp import MLP
from adaptation.methods.nearest_neighbours import NearestNeighbours
from adaptation.methods.prototypes import Prototypes
from adaptation.methods.tip_adapter import TipAdapter, TipAdapterF
from adaptation.methods.zero_shot_probe import ZeroShotProbe
from adaptation.model_selection import choose
from adaptation.task import Method, Task
from indexer import load_encoder
from indexer.encoder import Encoder
from labelled import share, task_in, zero_shot
from measure import report

SEEDS = range(5)
SHOTS = (1, 2, 4, 8, 16)
METHODS: tuple[Method, ...] = (
    ZeroShotProbe(),
    LinearProbe(),
    Prototypes(),
    NearestNeighbours(),
    TipAdapter(),
    TipAdapterF(),
    LPPlusPlus(),
    MLP(),
)
SECTIONS = "probe,shots,pacs"


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    asked.add_argument("data", type=Path)
    asked.add_argument("--pacs", type=Path)
    asked.add_argument("--only", default=SECTIONS)
    given = asked.parse_args()
    encoder = load_encoder()
    train = task_in(given.data / "train", encoder)
    val = task_in(given.data / "val", encoder)
    only = given.only.split(",")
    if "probe" in only:
        probe(train, val)
    if "shots" in only:
        shots(train, val)
    if "pacs" in only and given.pacs:
        pacs(given.pacs, encoder)


def probe(train: Task, val: Task) -> None:
    """How far the linear probe stops above the minimum, and how long the sweep takes."""
    began = time.perf_counter()
    chosen = choose(LinearProbe(), train, 0).method
    chosen.fit(train, 0)
    swept = time.perf_counter()
    assert chosen.c is not None
    rows = []
    for c in sorted({1.0, 10.0, 100.0, chosen.c}):
        fitted = LinearProbe(c=c).fit(train, 0).arrays
        weights, bias = fitted["weights"], fitted["bias"]
        oracle = LogisticRegression(C=c, tol=1e-10, max_iter=20_000)
        oracle.fit(train.vectors.astype(np.float64), train.targets)
        penalty = 1 / (2 * c * len(train.targets))
        losses = [
            sklearn_log_loss(train.targets, _softmax(train.vectors @ w.T + b))
            + penalty * float((w**2).sum())
            for w, b in ((weights, bias), (oracle.coef_, oracle.intercept_))
        ]
        right = [
            float(((val.vectors @ w.T + b).argmax(axis=1) == val.targets).mean())
            for w, b in ((weights, bias), (oracle.coef_, oracle.intercept_))
        ]
        rows.append(
            {
                "C": f"{c:.3g}" + (" (chosen)" if c == chosen.c else ""),
                "accuracy on val, %": f"{100 * right[0]:.2f}",
                "at the minimum, %": f"{100 * right[1]:.2f}",
                "loss": f"{losses[0]:.7f}",
                "above the minimum": f"{losses[0] - losses[1]:+.1e}",
            }
        )
    report(
        "adaptation_probe",
        "The linear probe and the minimum of its loss, at a tolerance of 1e-10",
        rows,
        notes=[
            f"zero-shot: {100 * zero_shot(val):.2f} %",
            f"{len(train.targets):,} vectors of {train.classes} classes: sweep and fit "
            f"{swept - began:.1f} s",
        ],
    )


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def shots(train: Task, val: Task) -> None:
    """Accuracy on val by examples a class, and what calibration leaves."""
    rows = [{"method": "zero-shot", **{str(k): f"{100 * zero_shot(val):.1f}" for k in SHOTS}}]
    curves = {"zero-shot": [[zero_shot(val)] for _ in SHOTS]}
    for method in METHODS:
        curves[method.name] = [
            [_learnt(method, train.subset(take_shots(train.targets, k, s)), val, s) for s in SEEDS]
            for k in SHOTS
        ]
        shown = {str(k): share(v) for k, v in zip(SHOTS, curves[method.name], strict=True)}
        rows.append({"method": method.name, **shown})
    report(
        "adaptation_shots",
        "Accuracy on Caltech-101 val by examples a class, %",
        rows,
        notes=[f"Mean and standard deviation of {len(SEEDS)} draws; {len(val.targets):,} photos."],
        curves=curves,
    )
    _calibration(train, val)
    plot(curves)


def _learnt(method: Method, task: Task, val: Task, seed: int) -> float:
    return choose(method, task, seed).method.fit(task, seed).accuracy(val)


def _calibration(train: Task, val: Task) -> None:
    rows = []
    for method in (ZeroShotProbe(), LinearProbe(), MLP()):
        choice = choose(method, train, 0)
        temperature = fit_temperature(choice.logits, choice.targets)
        fitted = choice.method.fit(train, 0)
        logits = fitted.logits(val.vectors)
        before, after = (calibration_error(logits, val.targets, t) for t in (1.0, temperature))
        rows.append(
            {
                "method": method.name,
                "accuracy, %": f"{100 * fitted.accuracy(val):.1f}",
                "temperature": f"{temperature:.3f}",
                "error before, %": f"{100 * before:.1f}",
                "error after, %": f"{100 * after:.1f}",
            }
        )
    report("adaptation_calibration", "Expected calibration error on val, all examples", rows)


def plot(curves: dict[str, list[list[float]]]) -> None:
    """`docs/few_shot.svg`."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    # So that two runs with the same results write the same file.
    matplotlib.rcParams["svg.hashsalt"] = "clipdex"
    figure, axes = pyplot.subplots(figsize=(7, 4.2))
    for name, values in curves.items():
        means = [100 * statistics.mean(one) for one in values]
        style = {"linestyle": "--", "color": "grey"} if name == "zero-shot" else {"marker": "o"}
        weight = 2.5 if name == ZeroShotProbe.name else 1.2
        axes.plot(SHOTS, means, label=name, linewidth=weight, markersize=3.5, **style)
    axes.set_xscale("log", base=2)
    axes.set_xticks(SHOTS, [str(k) for k in SHOTS])
    axes.set_xlabel("examples a class")
    axes.set_ylabel("accuracy on Caltech-101 val, %")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right", ncols=2)
    figure.tight_layout()
    target = Path(__file__).parents[1] / "docs" / "few_shot.svg"
    figure.savefig(target, metadata={"Date": None})


def pacs(data: Path, encoder: Encoder) -> None:
    """Four domains, seven classes; all photos that are not examples are classified."""
    rows = []
    for domain in sorted(folder.name for folder in data.iterdir() if folder.is_dir()):
        task = task_in(data / domain, encoder)
        for count in (1, 4, 16):
            metrics: dict[str, list[float]] = {}
            for seed in SEEDS:
                known = take_shots(task.targets, count, seed)
                asked = task.subset(np.setdiff1d(np.arange(len(task.targets)), known))
                metrics.setdefault("zero-shot", []).append(zero_shot(asked))
                for method in (ZeroShotProbe(), LinearProbe(), Prototypes()):
                    right = _learnt(method, task.subset(known), asked, seed)
                    metrics.setdefault(method.name, []).append(right)
            shown = {name: share(values) for name, values in metrics.items()}
            rows.append({"domain": domain, "examples a class": count, **shown})
    report(
        "adaptation_pacs",
        "Accuracy on PACS by domain, %",
        rows,
        notes=["The zero-shot probe's rule of trust was chosen on these domains and Caltech-101."],
    )


if __name__ == "__main__":
    main()
