"""Measure fine-tuning on few images of another kind: what it gains there and loses elsewhere.

usage: python benchmarks/tuning.py PACS CALTECH101 [--seeds 5] [--methods probe,full,scratch]
                                   [--name tuning] [--first 0]
       (and with --methods probe,lora,adapter,clip-adapter,coop --name efficient)

500 of PACS' art paintings, 100 of each of dog, elephant, giraffe, house and person; by seed 400 to
learn from, a fifth of which is held out to choose by, and 100 to test, read once. Old queries:
zero-shot on a val photo of each of Caltech-101's classes, at every step between the two models.
Methods: those of `clipdex adapt tune`, heads of `clipdex adapt train`, and scratch, which is full
from random weights. name: of the results. first: the seed to begin with.
"""

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from adaptation.data.examples import Examples, read_examples
from adaptation.data.splits import folds
from adaptation.methods.clip_adapter import ClipAdapter
from adaptation.methods.coop import CoOp
from adaptation.methods.registry import METHODS
from adaptation.methods.zero_shot_probe import ZeroShotProbe
from adaptation.model_selection import choose
from adaptation.report.memory import peak_mib, reset_peak
from adaptation.task import Method, Task
from adaptation.train import task_of
from adaptation.tuning.image_dataset import Images
from adaptation.tuning.objectives import Classification
from adaptation.tuning.settings import METHODS as WAYS
from adaptation.tuning.settings import Tuning
from adaptation.tuning.trainer import Split, Trainer
from adaptation.tuning.tune import RunConfig, tune
from indexer import load_encoder
from indexer.bundles.bundle import Bundle
from indexer.encoder import Encoder
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.images.decode import Limits
from indexer.load import find_bundle
from indexer.openclip.image_tower import ImageTower, build_visual
from labelled import few_of_each, share, zero_shot
from measure import report
from search.evaluation.dataset import GroundTruth, Known, read_ground_truth

CLASSES = ("dog", "elephant", "giraffe", "house", "person")
EACH, TESTED, OLD_EACH = 100, 20, 1
EPOCHS = 5
SCRATCH = Tuning(epochs=EPOCHS, rate=1e-3, head_rate=1e-2, layer_decay=1.0)


@dataclass
class Measured:
    """One run. right: share of test. old: zero-shot share of the old images, where it changed.
    learnt: parameters that moved.
    """

    right: float
    old: float | None = None
    learnt: int = 0
    minutes: float = 0.0
    peak: float = 0.0
    epochs: list[dict[str, float]] = field(default_factory=list)
    sweep: list[dict[str, float]] = field(default_factory=list)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    asked.add_argument("pacs", type=Path)
    asked.add_argument("caltech", type=Path)
    asked.add_argument("--first", type=int, default=0)
    asked.add_argument("--seeds", type=int, default=5)
    asked.add_argument("--methods", default="probe,full,scratch")
    asked.add_argument("--name", default="tuning")
    given = asked.parse_args()
    encoder, bundle = load_encoder(threads=torch.get_num_threads()), find_bundle("pocket")
    old = read_examples(few_of_each(read_ground_truth(given.caltech / "val"), OLD_EACH), encoder)
    paintings = read_ground_truth(given.pacs / "art_painting")
    before = zero_shot(task_of(old, encoder))
    runs: dict[str, list[Measured]] = {}
    for seed in range(given.first, given.seeds):
        known, tested = _split(paintings, encoder, seed)
        for method in ["zero-shot", *given.methods.split(",")]:
            reset_peak()
            began = time.perf_counter()
            one = _measure(method, seed, bundle, encoder, known, tested, old)
            one.minutes = (time.perf_counter() - began) / 60
            one.peak = peak_mib() or 0.0
            runs.setdefault(method, []).append(one)
            line = f"{method}, seed {seed}: {one.right:.1%}, {one.minutes:.1f} min\n"
            sys.stderr.write(line)
        _report(given.name, runs, before, len(old.targets))


def _report(name: str, runs: dict[str, list[Measured]], before: float, photos: int) -> None:
    """Of the seeds so far."""
    report(
        name,
        "500 paintings of five classes",
        [_row(method, own, runs["zero-shot"]) for method, own in runs.items()],
        notes=[
            f"Mean and standard deviation of {len(runs['zero-shot'])} seeds. Old queries: "
            f"zero-shot accuracy on {photos} photos of Caltech-101 val, {before:.1%} before. "
            "Minutes are of training, the sweep between the models and compilation, medians; "
            "memory is the peak."
        ],
        runs={method: [vars(one) for one in own] for method, own in runs.items()},
    )


def _row(method: str, own: list[Measured], start: list[Measured]) -> dict[str, object]:
    moved = [one.old for one in own if one.old is not None]
    gains = [one.right - zero.right for one, zero in zip(own, start, strict=True)]
    return {
        "method": method,
        "parameters": f"{own[0].learnt:,}" if own[0].learnt else "",
        "test, %": share([one.right for one in own]),
        "over zero-shot": share(gains) if method != "zero-shot" else "",
        "old queries, %": share(moved) if moved else "",
        "minutes": f"{statistics.median(one.minutes for one in own):.1f}",
        "MiB": f"{max(one.peak for one in own):,.0f}",
    }


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
) -> Measured:
    task, test = (task_of(one, encoder) for one in (known, tested))
    words = int(bundle.architecture["text_cfg"]["width"])
    if method == "zero-shot":
        return Measured(zero_shot(test))
    if method in METHODS or method == "probe":
        way = ZeroShotProbe() if method == "probe" else METHODS[method]()
        return _head(way, task, test, seed, words)
    with tempfile.TemporaryDirectory() as scratch:
        if method == "scratch":
            return _from_scratch(replace(SCRATCH, seed=seed), bundle, known, tested, Path(scratch))
        settings = replace(WAYS[method], epochs=EPOCHS, seed=seed)
        name = f"benchmark-{method}-{seed}"
        tuned = tune(bundle, encoder, known, settings, name, RunConfig(Path(scratch)), old=old)
    moved = OnnxEncoder(tuned.bundle, device="cpu", threads=torch.get_num_threads())
    again, test, after = (_embedded(one, moved) for one in (known, tested, old))
    head = _head(ZeroShotProbe(), again, test, seed, words)
    learnt = int(str(tuned.bundle.tuned["learnt"]))
    return Measured(head.right, zero_shot(after), learnt, epochs=tuned.epochs, sweep=tuned.sweep)


def _head(method: Method, task: Task, test: Task, seed: int, words: int) -> Measured:
    """words: the width of the text tower."""
    chosen = choose(method, task, seed).method
    fitted = chosen.fit(task, seed)
    learnt = sum(one.size for one in fitted.arrays.values())
    if isinstance(chosen, CoOp):
        learnt = (chosen.size or 0) * words
    elif isinstance(chosen, ClipAdapter):
        learnt = chosen.parameters(task.vectors.shape[1])
    return Measured(fitted.accuracy(test), learnt=learnt)


def _embedded(examples: Examples, encoder: Encoder) -> Task:
    truth = {
        path: Known([examples.classes[number]])
        for path, number in zip(examples.paths, examples.targets.tolist(), strict=True)
    }
    return task_of(read_examples(truth, encoder, classes=examples.classes), encoder)


def _from_scratch(
    settings: Tuning, bundle: Bundle, known: Examples, tested: Examples, folder: Path
) -> Measured:
    torch.manual_seed(settings.seed)
    tower = ImageTower(build_visual(bundle.architecture), bundle.image, "fp32")
    rows, held = folds(known.targets, settings.seed)[0]
    sides = [
        Split(
            Images([known.paths[row] for row in part], bundle.image, Limits()),
            known.targets[part],
        )
        for part in (rows, held)
    ]
    steps = -(-len(rows) // settings.batch_size)
    objective = Classification(nn.Linear(bundle.dim, len(known.classes)))
    loop = Trainer(tower, objective, settings, folder, steps=steps, key="scratch")
    epochs = list(loop.run(*sides))
    test = Split(Images(tested.paths, bundle.image, Limits()), tested.targets)
    learnt = sum(p.numel() for p in tower.visual.parameters())
    return Measured(loop.evaluate(test)["held_out_accuracy"], learnt=learnt, epochs=epochs)


if __name__ == "__main__":
    main()
