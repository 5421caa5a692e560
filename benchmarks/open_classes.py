"""Measure classes that were never learnt: episodes, verification, "none of these".

usage: python benchmarks/open_classes.py CALTECH101
    CALTECH101: a folder with `train` and `val`, each of CLASS/*.jpg

Where anything is sampled, there are five seeds: mean and standard deviation. val is read once per
metric.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from adaptation.data.splits import take_shots
from adaptation.methods.nearest_neighbours import NearestNeighbours
from adaptation.methods.prototypes import Prototypes
from adaptation.methods.siamese import Siamese
from adaptation.methods.zero_shot_probe import ZeroShotProbe
from adaptation.model_selection import choose
from adaptation.open_set import learn_rejection
from adaptation.task import Task
from episodes import run_episodes
from indexer import load_encoder
from indexer.encoder import unit
from labelled import share, task_in
from measure import report
from search.labels.heads import none_of_these
from verification import verify

SEEDS = range(5)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    asked.add_argument("data", type=Path)
    given = asked.parse_args()
    encoder = load_encoder()
    train, val = (task_in(given.data / split, encoder) for split in ("train", "val"))
    episodes(val)
    verification(train, val)
    none(train, val)


def episodes(val: Task) -> None:
    """5-way episodes on classes of val."""
    rows = []
    for method in (Prototypes(), ZeroShotProbe(strength=0.03), NearestNeighbours(k=1)):
        row = {"method": method.name}
        for count in (1, 5):
            found = run_episodes(method, val, shots=count, queries=5, count=600)
            row[f"5-way {count}-shot, %"] = (
                f"{100 * found.accuracy:.2f} ± {100 * found.interval:.2f}"
            )
        rows.append(row)
    report(
        "adaptation_episodes",
        "Episodes of five classes",
        rows,
        notes=["600 episodes, 5 queries a class, 95 % intervals of the mean; nothing was tuned."],
    )


def _halves() -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield (seed, one random half of the classes, the other)."""
    for seed in SEEDS:
        order = np.random.default_rng(seed).permutation(100)
        yield seed, np.sort(order[:50]), np.sort(order[50:])


def _of_classes(task: Task, classes: np.ndarray) -> Task:
    renumbered = np.full(task.classes, -1)
    renumbered[classes] = np.arange(len(classes))
    rows = np.flatnonzero(renumbered[task.targets] >= 0)
    part = task.subset(rows)
    return replace(part, targets=renumbered[part.targets], text=task.text[classes])


def verification(train: Task, val: Task) -> None:
    """Pairs of val photos of 50 classes that the Siamese network has not seen."""
    found: dict[str, list[tuple[float, float]]] = {"siamese": [], "frozen vectors": []}
    for seed, seen, unseen in _halves():
        known, strangers = _of_classes(train, seen), _of_classes(val, unseen)
        method = choose(Siamese(), known, seed).method
        projection = method.fit(known, seed).arrays["projection"]
        for name, vectors in (
            ("siamese", unit(strangers.vectors @ projection.T)),
            ("frozen vectors", strangers.vectors),
        ):
            result = verify(vectors, strangers.targets)
            found[name].append((result.auc, result.eer))
    rows = [
        {
            "pairs compared by": name,
            "ROC-AUC, %": share([auc for auc, _ in values]),
            "equal error rate, %": share([eer for _, eer in values]),
        }
        for name, values in found.items()
    ]
    report("adaptation_verification", "Are two photos of one class? Unseen classes", rows)


def none(train: Task, val: Task) -> None:
    """ "None of these" of heads for 50 classes, asked of photos of the other 50."""
    rows = []
    for shots_ in (4, 24):
        metrics: dict[str, list[float]] = {"auc": [], "members": [], "strangers": []}
        for seed, seen, unseen in _halves():
            known = _of_classes(train, seen)
            known = known.subset(take_shots(known.targets, shots_, seed))
            learnt = learn_rejection(known)
            members, strangers = (
                none_of_these(_of_classes(val, own).vectors, learnt["centres"], learnt["rejection"])
                for own in (seen, unseen)
            )
            outside = np.repeat([False, True], [len(members), len(strangers)])
            scores = np.concatenate([members, strangers])
            metrics["auc"].append(float(roc_auc_score(outside, scores)))
            metrics["members"].append(float((members > 0.5).mean()))
            metrics["strangers"].append(float((strangers > 0.5).mean()))
        rows.append(
            {
                "examples a class": shots_,
                "AUROC, %": share(metrics["auc"]),
                "members called none, %": share(metrics["members"]),
                "strangers called none, %": share(metrics["strangers"]),
            }
        )
    report("adaptation_none", "None of these: 50 classes learnt, 50 unknown", rows)


if __name__ == "__main__":
    main()
