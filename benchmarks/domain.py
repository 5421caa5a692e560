"""Measure what crosses a domain gap: PACS' photos, paintings, cartoons and sketches.

usage: python benchmarks/domain.py PACS [--only pairs,shots,end-to-end] [--seeds 5] [--others 2]

Of the target, a stratified half of each seed is looked at without its labels, and the other half is
the test part, read once by each method. Every labelled image of the source is learned from. All
settings are chosen by the product's own code, which sees no label of the target. Its fixed ones (the
network, its rate and steps, and which settings are tried) were chosen with photo as the target, and
with Caltech-101's photos against their edges and their posterized twins; no table but that of the
distances has photo as a target.

pairs: seven classes, the built-in model's vectors, `--seeds` seeds of the four pairs of the table
and `--others` of the other eight, over which distances and gains are correlated.
shots: the same with some labelled images of the target. end-to-end: the tower itself is trained, on
a subset.
"""

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
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
Values = dict[str, list[float]]


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    asked.add_argument("pacs", type=Path)
    asked.add_argument("--only", default="pairs,shots,end-to-end")
    asked.add_argument("--seeds", type=int, default=5)
    asked.add_argument("--others", type=int, default=2)
    given = asked.parse_args()
    only = given.only.split(",")
    if "pairs" in only or "shots" in only:
        encoder = load_encoder()
        tasks = {name: task_in(given.pacs / name, encoder) for name in DOMAINS}
        if "pairs" in only:
            pairs(tasks, given.seeds, given.others)
        if "shots" in only:
            shots(tasks, given.seeds)
    if "end-to-end" in only:
        end_to_end(given.pacs, given.seeds)


def pairs(tasks: dict[str, Task], seeds: int, others: int) -> None:
    """The four pairs, then the rest of the twelve."""
    rest = [pair for pair in permutations(DOMAINS, 2) if pair not in PAIRS]
    found: dict[tuple[str, str], Values] = {}
    for seed in range(seeds):
        for pair in PAIRS:
            _measure(pair, tasks, seed, found.setdefault(pair, {}))
        _report_pairs(found)
    for seed in range(others):
        for pair in rest:
            _measure(pair, tasks, seed, found.setdefault(pair, {}))
    _report_distances(found)


def _measure(pair: tuple[str, str], tasks: dict[str, Task], seed: int, into: Values) -> None:
    """Add one seed's shares and figures."""
    source, (seen, test) = tasks[pair[0]], _halves(tasks[pair[1]], seed)
    shift = Shift(source, seen.vectors)
    far = distances(source.vectors, seen.vectors)
    now = {f"before {key}": value for key, value in far.to_json().items()}
    now["zero-shot"] = zero_shot(test)
    now["source-only"] = source_only(shift, seed).fitted.accuracy(test)
    now["same network, not aligned"] = NETWORK.fit(shift, seed).fitted.accuracy(test)
    for name, method in METHODS.items():
        began = time.perf_counter()
        chosen = select(method(), shift, seed)
        now[f"seconds {name}"] = time.perf_counter() - began
        now[name] = chosen.fitted.accuracy(test)
        now[f"setting {name}"] = next(iter(chosen.setting.values()))
        if method.aligns:
            moved = [chosen.aligned.features(one) for one in (source.vectors, seen.vectors)]
            plain = [
                NETWORK.fit(shift, seed).features(one) for one in (source.vectors, seen.vectors)
            ]
            for key, value in distances(*moved).to_json().items():
                now[f"after {name} {key}"] = value
            if name == DANN.name:
                for key, value in distances(*plain).to_json().items():
                    now[f"network {key}"] = value
    now["oracle"] = choose(ZeroShotProbe(), seen, seed).method.fit(seen, seed).accuracy(test)
    for key, value in now.items():
        into.setdefault(key, []).append(value)
    line = ", ".join(f"{key} {100 * value:.1f}" for key, value in now.items() if " " not in key)
    sys.stderr.write(f"{pair[0]} -> {pair[1]}, seed {seed}: {line}\n")


def _halves(task: Task, seed: int) -> tuple[Task, Task]:
    """A stratified half to look at, and the other one."""
    random = np.random.default_rng(seed)
    first: list[Rows] = []
    for number in range(task.classes):
        rows = random.permutation(np.flatnonzero(task.targets == number))
        first.append(rows[: len(rows) // 2])
    seen = np.sort(np.concatenate(first))
    return task.subset(seen), task.subset(np.setdiff1d(np.arange(len(task.targets)), seen))


def _name(pair: tuple[str, str]) -> str:
    return " → ".join(pair)


def _report_pairs(found: dict[tuple[str, str], Values]) -> None:
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


def _report_distances(found: dict[tuple[str, str], Values]) -> None:
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
            "told by, DANN": f"{100 * one['after dann domain_accuracy']:.0f}",
            "told by, MMD": f"{100 * one['after mmd domain_accuracy']:.0f}",
            "network's MMD": f"{one['network mmd']:.3f}",
            "DANN's MMD": f"{one['after dann mmd']:.3f}",
            "MMD's MMD": f"{one['after mmd mmd']:.3f}",
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
        ],
        correlations=correlations,
        runs={_name(pair): values for pair, values in found.items()},
    )


def shots(tasks: dict[str, Task], seeds: int) -> None:
    """Some labels of the target, with alignment and without it."""
    found: dict[tuple[tuple[str, str], int], Values] = {}
    for seed in range(seeds):
        for pair in PAIRS:
            source, (seen, test) = tasks[pair[0]], _halves(tasks[pair[1]], seed)
            bare = Shift(source, seen.vectors)
            methods = {
                name: replace(method(), **select(method(), bare, seed).setting)
                for name, method in METHODS.items()
            }
            for count in SHOTS:
                few = seen.subset(take_shots(seen.targets, count, seed))
                shift = replace(bare, labelled=few)
                into = found.setdefault((pair, count), {})
                now = {
                    "target's labels alone": choose(ZeroShotProbe(), few, seed).method.fit(
                        few, seed
                    ),
                    "both, not aligned": source_only(shift, seed).fitted,
                    **{name: one.fit(shift, seed).fitted for name, one in methods.items()},
                }
                into.setdefault("zero-shot", []).append(zero_shot(test))
                for name, fitted in now.items():
                    into.setdefault(name, []).append(fitted.accuracy(test))
            sys.stderr.write(f"{_name(pair)}, seed {seed}\n")
        report(
            "domain_shots",
            "Some labelled images of the target besides: accuracy on its test part, %",
            [
                {
                    "pair": _name(pair),
                    "labels a class": count,
                    **{k: share(v) for k, v in one.items()},
                }
                for (pair, count), one in sorted(
                    found.items(), key=lambda x: (PAIRS.index(x[0][0]), x[0][1])
                )
            ],
            notes=[
                f"Mean and standard deviation of {seed + 1} seeds. Both, not aligned: the default of "
                "`clipdex adapt train` on the source and the labelled images of the target, these "
                "so often that both count the same. Settings are those chosen without labels."
            ],
            runs={f"{_name(pair)}, {count}": one for (pair, count), one in found.items()},
        )


if __name__ == "__main__":
    main()
