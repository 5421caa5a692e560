"""Fine-tuning on few pictures of another kind: what it gains there and loses elsewhere.

usage: python benchmarks/tuning.py PACS CALTECH101 [--seeds 3] [--methods probe,full,lora,scratch]

500 of PACS' art paintings, 100 of each of dog, elephant, giraffe, house and person; by seed 400 to
learn from, a fifth of which is held out to choose by, and 100 to test, read once. Old queries:
zero-shot on two val photos of each of Caltech-101's classes, at every step between the two models.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from adaptation.choice import choose
from adaptation.examples import Examples, read_examples
from adaptation.splits import folds
from adaptation.training import task_of
from adaptation.tuning.loop import Loop, Side
from adaptation.tuning.pictures import Pictures
from adaptation.tuning.settings import LORA_RATE, Tuning
from adaptation.tuning.tune import tune
from adaptation.zero_shot_probe import ZeroShotProbe
from indexer import load_encoder
from indexer.bundle import Bundle
from indexer.decode import Limits
from indexer.encoder import Encoder
from indexer.models import find_bundle
from indexer.onnx_encoder import OnnxEncoder
from indexer.picture_tower import PictureTower, build_visual
from labelled import share, zero_shot
from measure import report
from search.ground_truth import GroundTruth, read_ground_truth

CLASSES = ("dog", "elephant", "giraffe", "house", "person")
EACH, TESTED, OLD_EACH = 100, 20, 2
SETTINGS = {
    "full": Tuning(epochs=8),
    "lora": Tuning(method="lora", rate=LORA_RATE, epochs=8),
    "scratch": Tuning(epochs=8, rate=1e-3, head_rate=1e-2, layer_decay=1.0),
}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    asked.add_argument("pacs", type=Path)
    asked.add_argument("caltech", type=Path)
    asked.add_argument("--seeds", type=int, default=3)
    asked.add_argument("--methods", default="probe,full,lora,scratch")
    given = asked.parse_args()
    encoder, bundle = load_encoder(), find_bundle("pocket")
    old = read_examples(_some(read_ground_truth(given.caltech / "val"), OLD_EACH), encoder)
    paintings = read_ground_truth(given.pacs / "art_painting")
    rows = []
    sweeps: dict[str, list[object]] = {}
    for method in ["zero-shot", *given.methods.split(",")]:
        right, old_right, minutes = [], [], []
        for seed in range(given.seeds):
            known, tested = _split(paintings, encoder, seed)
            began = time.perf_counter()
            accuracy, kept, sweep = _measure(method, seed, bundle, encoder, known, tested, old)
            minutes.append((time.perf_counter() - began) / 60)
            right.append(accuracy)
            old_right.append(kept)
            sweeps.setdefault(method, []).append(sweep)
        rows.append(
            {
                "method": method,
                "test, %": share(right),
                "old queries, %": share(old_right) if None not in old_right else "",
                "minutes": f"{statistics.mean(minutes):.1f}",
            }
        )
    report(
        "tuning",
        "500 paintings of five classes",
        rows,
        notes=[
            f"Mean and standard deviation of {given.seeds} seeds. Old queries: zero-shot accuracy "
            f"on {len(old.targets)} photos of Caltech-101 val."
        ],
        sweeps=sweeps,
    )
    if {"full", "lora"} & sweeps.keys():
        plot(sweeps)


def plot(sweeps: dict[str, list[dict[str, list[dict[str, float]]]]]) -> None:
    """`docs/wise_ft.svg`: what is won and lost between the base model and the tuned one."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "clipdex"
    figure, axes = pyplot.subplots(figsize=(6, 4))
    for method, runs in sweeps.items():
        if method not in ("full", "lora"):
            continue
        steps = [[run["sweep"][at] for run in runs] for at in range(len(runs[0]["sweep"]))]
        old, new = (
            [100 * statistics.mean(one[key] for one in step) for step in steps]
            for key in ("old", "new")
        )
        axes.plot(old, new, marker="o", markersize=4, label=method)
        for at in (0, len(steps) - 1):
            text = f"alpha {steps[at][0]['alpha']:g}"
            axes.annotate(text, (old[at], new[at]), fontsize=8, xytext=(4, -10),
                          textcoords="offset points")  # fmt: skip
    axes.set_xlabel("old queries: zero-shot on Caltech-101 photos, %")
    axes.set_ylabel("held-out paintings, %")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    target = Path(__file__).parents[1] / "docs" / "wise_ft.svg"
    figure.savefig(target, metadata={"Date": None})


def _some(truth: GroundTruth, each: int) -> GroundTruth:
    counts: dict[str, int] = {}
    chosen = {}
    for path, known in truth.items():
        label = known.labels[0]
        counts[label] = counts.get(label, 0) + 1
        if counts[label] <= each:
            chosen[path] = known
    return chosen


def _split(truth: GroundTruth, encoder: Encoder, seed: int) -> tuple[Examples, Examples]:
    random = np.random.default_rng(seed)
    known, tested = {}, {}
    for name in CLASSES:
        own = sorted(path for path in truth if truth[path].labels == [name])
        for place, number in enumerate(random.permutation(len(own))[:EACH].tolist()):
            (tested if place < TESTED else known)[own[number]] = truth[own[number]]
    return (
        read_examples(known, encoder, classes=CLASSES),
        read_examples(tested, encoder, classes=CLASSES),
    )


def _measure(
    method: str,
    seed: int,
    bundle: Bundle,
    encoder: Encoder,
    known: Examples,
    tested: Examples,
    old: Examples,
) -> tuple[float, float | None, object]:
    """(share right on test, zero-shot share on old pictures, the sweep)."""
    task, test, before = (task_of(one, encoder) for one in (known, tested, old))
    if method == "zero-shot":
        return zero_shot(test), zero_shot(before), None
    if method == "probe":
        fitted = choose(ZeroShotProbe(), task, seed).method.fit(task, seed)
        return fitted.accuracy(test), zero_shot(before), None
    settings = replace(SETTINGS[method], seed=seed)
    with tempfile.TemporaryDirectory() as scratch:
        if method == "scratch":
            return _from_scratch(settings, bundle, known, tested, Path(scratch)), None, None
        name = f"benchmark-{method}-{seed}"
        tuned = tune(bundle, encoder, known, settings, name, Path(scratch), old=old)
    moved = OnnxEncoder(tuned.bundle, device="cpu")
    truths = [{p: _known(e, n) for n, p in enumerate(e.paths)} for e in (known, tested, old)]
    again = [
        task_of(read_examples(truth, moved, classes=e.classes), moved)
        for truth, e in zip(truths, (known, tested, old), strict=True)
    ]
    fitted = choose(ZeroShotProbe(), again[0], seed).method.fit(again[0], seed)
    facts = {"alpha": tuned.alpha, "sweep": tuned.sweep, "epochs": tuned.epochs}
    return fitted.accuracy(again[1]), zero_shot(again[2]), facts


def _known(examples: Examples, number: int):
    from search.ground_truth import Known

    return Known([examples.classes[examples.targets[number]]])


def _from_scratch(
    settings: Tuning, bundle: Bundle, known: Examples, tested: Examples, folder: Path
) -> float:
    torch.manual_seed(settings.seed)
    tower = PictureTower(build_visual(bundle.architecture), bundle.image, "fp32")
    rows, held = folds(known.targets, settings.seed)[0]
    sides = [
        Side(
            Pictures([known.paths[row] for row in part], bundle.image, Limits()),
            known.targets[part],
        )
        for part in (rows, held)
    ]
    steps = -(-len(rows) // settings.batch_size)
    head = nn.Linear(bundle.dim, len(known.classes))
    loop = Loop(tower, head, settings, folder, steps=steps, key="scratch")
    for _ in loop.run(*sides):
        pass
    logits = loop.logits(Pictures(tested.paths, bundle.image, Limits()))
    return float((logits.argmax(axis=1) == tested.targets).mean())


if __name__ == "__main__":
    main()
