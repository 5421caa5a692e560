"""Measure what crosses a domain gap: PACS' photos, paintings, cartoons and sketches.

usage: python benchmarks/domain.py PACS [--seeds 5] [--others 1] [--jobs 2]

Of the target, a stratified half of each seed is looked at without its labels, and the other half is
the test part, read once by each method. Every labelled image of the source is learned from. All
settings are chosen by the product's own code, which sees no label of the target. Its fixed ones
(the network, its rate and steps, which settings are tried, the default method) were chosen with
photo as the target, and with Caltech-101's photos against their edges and their posterized twins;
only the table of distances has photo as a target.

Seven classes, the built-in model's vectors: `--seeds` seeds of four pairs, also with some labelled
images of the target, and `--others` seeds of the other eight pairs; distances and gains are
correlated over all twelve. `benchmarks/domain_end_to_end.py` trains the tower itself.
"""

import argparse
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import permutations
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from adaptation.data.splits import take_shots
from adaptation.domain.dann import DANN
from adaptation.domain.distance import distances
from adaptation.domain.registry import METHODS
from adaptation.domain.selection import select, source_only
from adaptation.domain.shift import Shift
from adaptation.methods.zero_shot_probe import ZeroShotProbe
from adaptation.model_selection import choose
from adaptation.task import Rows, Task
from indexer import load_encoder
from labelled import share, task_in, zero_shot
from measure import report

DOMAINS = ("photo", "art_painting", "cartoon", "sketch")
PAIRS = (
    ("photo", "sketch"),
    ("photo", "cartoon"),
    ("photo", "art_painting"),
    ("art_painting", "sketch"),
)
SHOTS = (1, 3, 5)
# Strength 0: the same network, whose features nothing aligns.
NETWORK = DANN(strength=0.0)
ALIGNERS = [name for name, method in METHODS.items() if method.aligns]

Pair = tuple[str, str]
Values = dict[str, list[float]]
Measured = tuple[dict[str, float], dict[int, dict[str, float]]]


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    asked.add_argument("pacs", type=Path)
    asked.add_argument("--seeds", type=int, default=5)
    asked.add_argument("--others", type=int, default=1)
    asked.add_argument("--jobs", type=int, default=2)
    given = asked.parse_args()
    encoder = load_encoder()
    tasks = {name: task_in(given.pacs / name, encoder) for name in DOMAINS}
    # A text tower cannot go to another process.
    measure({name: replace(task, text_tower=None) for name, task in tasks.items()}, given)


def measure(tasks: dict[str, Task], given: argparse.Namespace) -> None:
    """The four pairs, then the rest of the twelve; results are written after each seed."""
    rest = [pair for pair in permutations(DOMAINS, 2) if pair not in PAIRS]
    found: dict[Pair, Values] = {}
    few: dict[tuple[Pair, int], Values] = {}
    with ProcessPoolExecutor(given.jobs, get_context("spawn")) as pool:

        def measured(pairs: list[Pair], seeds: int, shots: tuple[int, ...]) -> None:
            for seed in range(seeds):
                asked = [
                    pool.submit(_measure, tasks[one], tasks[other], seed, shots)
                    for one, other in pairs
                ]
                for pair, one in zip(pairs, asked, strict=True):
                    now, by_shots = one.result()
                    _add(now, found.setdefault(pair, {}))
                    for count, values in by_shots.items():
                        _add(values, few.setdefault((pair, count), {}))
                    shown = [f"{k} {100 * v:.1f}" for k, v in now.items() if " " not in k]
                    sys.stderr.write(f"{_name(pair)}, seed {seed}: {', '.join(shown)}\n")
                if shots:
                    _report_pairs(found)
                    _report_shots(few)

        measured(list(PAIRS), given.seeds, SHOTS)
        measured(rest, given.others, ())
    _report_distances(found)


def _add(now: dict[str, float], into: Values) -> None:
    for key, value in now.items():
        into.setdefault(key, []).append(value)


def _measure(source: Task, target: Task, seed: int, shots: tuple[int, ...]) -> Measured:
    """One pair and seed: shares and distances by name, and shares by labels a class."""
    torch.set_num_threads(1)
    seen, test = _halves(target, seed)
    shift = Shift(source, seen.vectors)
    far = distances(source.vectors, seen.vectors)
    now = {f"before {key}": value for key, value in far.to_json().items()}
    now["zero-shot"] = zero_shot(test)
    now["source-only"] = source_only(shift, seed).fitted.accuracy(test)
    network = NETWORK.fit(shift, seed)
    now["same network, not aligned"] = network.fitted.accuracy(test)
    moved = {"network": network}
    methods = {}
    for name, method in METHODS.items():
        began = time.perf_counter()
        chosen = select(method(), shift, seed)
        now[f"seconds {name}"] = time.perf_counter() - began
        now[name] = chosen.fitted.accuracy(test)
        methods[name] = replace(method(), **chosen.setting)
        now[f"setting {name}"] = float(str(next(iter(chosen.setting.values()))))
        if method.aligns:
            moved[name] = chosen.aligned
    for name, one in moved.items():
        after = distances(one.features(source.vectors), one.features(seen.vectors))
        now |= {f"{name} {key}": value for key, value in after.to_json().items()}
    now["oracle"] = choose(ZeroShotProbe(), seen, seed).method.fit(seen, seed).accuracy(test)
    by_shots = {}
    for count in shots:
        few = seen.subset(take_shots(seen.targets, count, seed))
        known = replace(shift, labelled=few)
        fitted = {
            "target's labels alone": choose(ZeroShotProbe(), few, seed).method.fit(few, seed),
            "both, not aligned": source_only(known, seed).fitted,
            "same network, not aligned": NETWORK.fit(known, seed).fitted,
            **{name: one.fit(known, seed).fitted for name, one in methods.items()},
        }
        by_shots[count] = {name: one.accuracy(test) for name, one in fitted.items()}
    return now, by_shots


def _halves(task: Task, seed: int) -> tuple[Task, Task]:
    """A stratified half to look at, and the other one."""
    random = np.random.default_rng(seed)
    first: list[Rows] = []
    for number in range(task.classes):
        rows = random.permutation(np.flatnonzero(task.targets == number))
        first.append(rows[: len(rows) // 2])
    seen = np.sort(np.concatenate(first))
    return task.subset(seen), task.subset(np.setdiff1d(np.arange(len(task.targets)), seen))


def _name(pair: Pair) -> str:
    return " → ".join(pair)


def _report_pairs(found: dict[Pair, Values]) -> None:
    shown = (
        "zero-shot", "source-only", "same network, not aligned", *METHODS, "oracle"
    )  # fmt: skip
    rows = [
        {"method": name, **{_name(p): share(v[name]) for p, v in found.items()}} for name in shown
    ]
    count = len(next(iter(found.values()))["oracle"])
    report(
        "domain",
        "Unlabelled images of another domain: accuracy on the target's test part, %",
        rows,
        notes=[
            f"Mean and standard deviation of {count} seeds: of the halves of the target, and of "
            "training.",
            "source-only is the default of `clipdex adapt train`, oracle the same with all labels "
            "of the half that the others look at without labels.",
            "same network, not aligned: DANN with a reversal of strength 0.",
        ],
        runs={_name(pair): values for pair, values in found.items()},
    )


def _report_distances(found: dict[Pair, Values]) -> None:
    keys = ("mmd", "proxy_a_distance", "frechet", "domain_accuracy")
    mean = {
        pair: {key: statistics.mean(v) for key, v in values.items()}
        for pair, values in found.items()
    }
    rows = [
        {
            "pair": _name(pair),
            "MMD": f"{one['before mmd']:.3f}",
            "proxy A": f"{one['before proxy_a_distance']:.2f}",
            "Fréchet": f"{one['before frechet']:.3f}",
            "zero-shot": f"{100 * one['zero-shot']:.1f}",
            "source-only": f"{100 * one['source-only']:.1f}",
            **{
                f"gain {name}": f"{100 * (one[name] - one['source-only']):+.1f}" for name in METHODS
            },
            "told by, network": f"{100 * one['network domain_accuracy']:.0f}",
            "told by, DANN": f"{100 * one['dann domain_accuracy']:.0f}",
            "told by, MMD": f"{100 * one['mmd domain_accuracy']:.0f}",
            "network's MMD": f"{one['network mmd']:.3f}",
            "DANN's MMD": f"{one['dann mmd']:.3f}",
            "MMD's MMD": f"{one['mmd mmd']:.3f}",
        }
        for pair, one in mean.items()
    ]
    notes = []
    outcomes = {
        "source-only's loss to the oracle": lambda one: one["oracle"] - one["source-only"],
        **{
            f"gain of {name}": lambda one, name=name: one[name] - one["source-only"]
            for name in METHODS
        },
    }
    correlations = []
    for outcome, value in outcomes.items():
        for key in keys[:3]:
            rho, chance = spearmanr(
                [one[f"before {key}"] for one in mean.values()],
                [value(one) for one in mean.values()],
            )
            correlations.append({"outcome": outcome, "distance": key, "rho": rho, "p": chance})
        mine = {one["distance"]: one for one in correlations[-3:]}
        notes.append(
            f"Spearman's rank correlation of the {outcome} with MMD, proxy A-distance and Fréchet "
            "distance over the twelve pairs: "
            + ", ".join(f"{mine[key]['rho']:+.2f} (p = {mine[key]['p']:.2g})" for key in keys[:3])
            + "."
        )
    report(
        "domain_distances",
        "Do distances predict what alignment gains? Twelve pairs of PACS",
        rows,
        notes=[
            *notes,
            "Distances are of the built-in model's vectors of the source and of the target's half "
            "without labels. told by: how often, %, a fresh linear classifier tells the domain of "
            "features, of the network without alignment, of DANN's and of MMD's. Gains over "
            "source-only in points.",
            "Pairs with photo as the target chose what is fixed in the methods.",
            "Seeds of the pairs: "
            + ", ".join(str(len(values["oracle"])) for values in found.values())
            + ".",
        ],
        correlations=correlations,
        runs={_name(pair): values for pair, values in found.items()},
    )


def _report_shots(found: dict[tuple[Pair, int], Values]) -> None:
    order = sorted(found, key=lambda one: (PAIRS.index(one[0]), one[1]))
    count = len(next(iter(found.values()))["both, not aligned"])
    report(
        "domain_shots",
        "Some labelled images of the target besides: accuracy on its test part, %",
        [
            {
                "pair": _name(pair),
                "labels a class": shots,
                **{name: share(values) for name, values in found[pair, shots].items()},
            }
            for pair, shots in order
        ],
        notes=[
            f"Mean and standard deviation of {count} seeds. Both, not aligned: the default of "
            "`clipdex adapt train` on the source and the labelled images of the target, these so "
            "often that both count the same. Settings are those chosen without labels."
        ],
        runs={f"{_name(pair)}, {shots}": found[pair, shots] for pair, shots in order},
    )


if __name__ == "__main__":
    main()
