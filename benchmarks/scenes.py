"""What is one scene: held-out accuracy beside that on photos of other places.

usage: python benchmarks/scenes.py GROCERIES CALTECH101 [--only choose,measure,heads,few]
    GROCERIES: the folder `dataset` of https://github.com/marcusklasson/GroceryStoreDataset
    CALTECH101: a folder with `train` and `val`, each of CLASS/*.jpg

The groceries' train photos are many shots of few shelves, and val is of other shops: what a
held-out accuracy should foresee. They trained the built-in model, so its predecessor's vectors are
taken, and their test photos are not read, since those probably trained that one. The threshold is
chosen on every other class and measured on the others.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from adaptation.data.examples import Examples, read_examples
from adaptation.data.scenes import ALIKE, scenes_of
from adaptation.data.splits import scene_folds, take_shots
from adaptation.methods.linear_probe import LinearProbe
from adaptation.methods.nearest_neighbours import NearestNeighbours
from adaptation.methods.prototypes import Prototypes
from adaptation.methods.zero_shot_probe import ZeroShotProbe
from adaptation.model_selection import choose
from adaptation.task import Method, Scenes, Task
from adaptation.train import task_of
from indexer import load_encoder
from indexer.encoder import Encoder
from indexer.model_name import FORMER
from labelled import share
from measure import report
from search.evaluation.dataset import Known

THRESHOLDS = (None, 0.85, 0.8, 0.75, 0.7, 0.65)
SEEDS = range(2)
DRAWS = range(5)
METHODS: tuple[Method, ...] = (ZeroShotProbe(), LinearProbe(), Prototypes(), NearestNeighbours())
Data = tuple[Examples, Task, Task]


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    asked.add_argument("groceries", type=Path)
    asked.add_argument("caltech", type=Path)
    asked.add_argument("--only", default="choose,measure,heads,few")
    given = asked.parse_args()
    encoder = load_encoder(FORMER)
    sources = {
        "fruit and vegetables": [given.groceries, "Fruit", "Vegetables"],
        "packages": [given.groceries, "Packages"],
        "Caltech-101": [given.caltech, "."],
    }
    data = {name: _read(*source, encoder=encoder) for name, source in sources.items()}
    groceries = {name: data[name] for name in list(data)[:2]}
    only = given.only.split(",")
    if "choose" in only:
        rows = [_row(threshold, data, 0) for threshold in THRESHOLDS]
        report("scenes_chosen", "The threshold, on every other class", rows)
    if "measure" in only:
        rows = [
            {"classes": classes, **_row(threshold, data, part)}
            for classes, part in (("the others", 1), ("all", None))
            for threshold in (None, ALIKE)
        ]
        report("scenes_measured", "The chosen threshold, on the other classes and on all", rows)
    if "heads" in only:
        report("scenes_heads", "Heads whose settings are chosen by scenes", _heads(data))
    if "few" in only:
        report("scenes_few", "Few examples a class", _few(groceries))


def _read(root: Path, *folders: str, encoder: Encoder) -> Data:
    """Read the train and val photos; a class is the folder that holds the files."""
    both = []
    for split in ("train", "val"):
        files = [
            file for folder in folders for file in sorted((root / split / folder).rglob("*.jpg"))
        ]
        truth = {bytes(file.absolute()): Known([_label(file)]) for file in files}
        classes = both[0].classes if both else None
        both.append(read_examples(truth, encoder, classes=classes))
    task, val = (task_of(one, encoder) for one in both)
    return both[0], task, val


def _label(file: Path) -> str:
    return file.parent.name.replace("-", " ").replace("_", " ")


def _scenes(examples: Examples, threshold: float | None) -> Scenes:
    if threshold is None:
        return np.arange(len(examples.targets))
    return scenes_of(examples.vectors, examples.targets, examples.paths, alike=threshold)


def _part(data: Data, part: int | None) -> Data:
    """Return every other class."""
    examples, task, val = data
    if part is None:
        return data
    rows, held = (np.flatnonzero(one.targets % 2 == part) for one in (task, val))
    text = task.text[part::2]
    small = replace(
        examples,
        vectors=examples.vectors[rows],
        targets=examples.targets[rows] // 2,
        paths=tuple(examples.paths[row] for row in rows),
    )
    return (
        small,
        Task(small.vectors, small.targets, text, task.logit_scale),
        Task(val.vectors[held], val.targets[held] // 2, text, task.logit_scale),
    )


def _row(threshold: float | None, data: dict[str, Data], part: int | None) -> dict[str, object]:
    row: dict[str, object] = {"alike from": "single images" if threshold is None else threshold}
    gaps = []
    for name, whole in data.items():
        examples, task, val = _part(whole, part)
        scenes = _scenes(examples, threshold)
        accuracies = _held_out(task, scenes)
        right = _probe(task).score(val.vectors, val.targets)
        gaps.append(abs(np.mean(accuracies) - right))
        own = [len(np.unique(scenes[task.targets == number])) for number in range(task.classes)]
        row[f"{name}, held out (val), %"] = f"{100 * np.mean(accuracies):.1f} ({100 * right:.1f})"
        row[f"{name}, scenes a class"] = f"{np.median(own):.0f}, {min(own)} or more"
    return {**row, "mean gap, points": f"{100 * np.mean(gaps):.1f}"}


def _held_out(task: Task, scenes: Scenes) -> list[float]:
    found = []
    for seed in SEEDS:
        right = []
        for training, held in scene_folds(task.targets, seed, scenes):
            probe = _probe(task.subset(training))
            right.append(probe.predict(task.vectors[held]) == task.targets[held])
        found.append(float(np.concatenate(right).mean()))
    return found


def _probe(task: Task) -> LogisticRegression:
    """Return a probe of one strength, coarsely fitted: many are."""
    return LogisticRegression(C=100.0, tol=1e-3).fit(task.vectors, task.targets)


def _heads(data: dict[str, Data]) -> list[dict[str, object]]:
    rows = []
    for name, (examples, task, val) in data.items():
        scenes = _scenes(examples, ALIKE)
        for method in METHODS:
            row: dict[str, object] = {"data": name, "method": method.name}
            for by, known in {"image": task, "scene": replace(task, scenes=scenes)}.items():
                choice = choose(method, known, 0)
                row[f"held out by {by}, %"] = f"{100 * choice.accuracy:.1f}"
                row[f"val, chosen by {by}, %"] = (
                    f"{100 * choice.method.fit(task, 0).accuracy(val):.1f}"
                )
            row["zero-shot on val, %"] = f"{100 * task.zero_shot().accuracy(val):.1f}"
            rows.append(row)
    return rows


def _few(data: dict[str, Data]) -> list[dict[str, object]]:
    rows = []
    for name, (_, task, val) in data.items():
        for method in METHODS:
            row: dict[str, object] = {"data": name, "method": method.name}
            row["zero-shot, %"] = f"{100 * task.zero_shot().accuracy(val):.1f}"
            for shots in (1, 2, 4):
                found = []
                for draw in DRAWS:
                    drawn = task.subset(take_shots(task.targets, shots, draw))
                    head = choose(method, drawn, draw).method.fit(drawn, draw)
                    found.append(head.accuracy(val))
                row[f"{shots}, %"] = share(found)
            rows.append(row)
    return rows


if __name__ == "__main__":
    main()
