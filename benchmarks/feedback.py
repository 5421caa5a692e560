"""How much "more like these" and "not like these" improve a search, by simulated clicks.

usage: python benchmarks/feedback.py DATA
    DATA: a folder of CLASS/*.jpg

A class is searched for by its name. Of the first twenty results, those of the class are clicked as
wanted and the others as unwanted, in turn, the best first; where there are too few of one kind,
more of the other are taken. Precision@20 is that of the images which none of the six clicks named,
so that all columns rank the same images. How much an unwanted image weighs (`UNLIKE_WEIGHT`) was
chosen on Caltech-101's training images among 0, 1/4, 1/2 and 1.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

from measure import COMMAND, report
from search import Engine

PAGE = 20
CLICKS = (0, 3, 6)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    with tempfile.TemporaryDirectory() as scratch:
        collection = Path(scratch) / "collection"
        subprocess.run(
            [COMMAND, "index", data, "--collection", collection], check=True, capture_output=True
        )
        with Engine.open(collection) as engine:
            classes = sorted(folder.name for folder in data.iterdir() if folder.is_dir())
            found = [precisions(engine, name) for name in classes]
    means = [sum(column) / len(found) for column in zip(*found, strict=True)]
    better = sum(row[-1] > row[0] for row in found)
    worse = sum(row[-1] < row[0] for row in found)
    row = {f"{n} clicks": f"{mean:.3f}" for n, mean in zip(CLICKS, means, strict=True)}
    report(
        "feedback",
        "Mean precision@20 of a class after clicks",
        [row],
        notes=[
            f"{len(classes)} classes of {data.parent.name}/{data.name}; after six clicks {better} "
            f"are better than before and {worse} worse."
        ],
    )


def precisions(engine: Engine, name: str) -> list[float]:
    """Precision@20 of a class after each number of clicks."""
    text = f"a photo of a {name.replace('_', ' ')}"
    page = engine.search(text, k=PAGE)
    right = [hit.id for hit in page if hit.file.parent.name == name]
    wrong = [hit.id for hit in page if hit.file.parent.name != name]
    named = {number for kind in clicked(right, wrong, CLICKS[-1]) for number in kind}
    found = []
    for count in CLICKS:
        wanted, unwanted = clicked(right, wrong, count)
        hits = engine.search(text, images=wanted, unlike=unwanted, k=PAGE + len(named))
        others = [hit for hit in hits if hit.id not in named][:PAGE]
        found.append(sum(hit.file.parent.name == name for hit in others) / PAGE)
    return found


def clicked(right: list[int], wrong: list[int], count: int) -> tuple[list[int], list[int]]:
    """The images that are clicked as wanted, and those as unwanted."""
    wanted = min(len(right), max(count - count // 2, count - len(wrong)))
    return right[:wanted], wrong[: count - wanted]


if __name__ == "__main__":
    main()
