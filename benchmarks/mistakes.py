"""Six common mistakes, each made on purpose, and what it costs in points of accuracy.

usage: python benchmarks/mistakes.py FLICKR8K PACS [--count 200] [--seeds 3] [--epochs 10]

Four on texts (topics of Flickr8k's captions, as `text_classes.py` has them), with full tuning; a
wrong tokenizer is one with the same words in another order, past the check that refuses it. Two on
images (PACS's art paintings, seven classes, 12 examples of each, 20 tested), with a linear probe
on vectors of images that were prepared wrongly, in training and in use.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from adaptation.data.examples import read_examples
from adaptation.data.splits import take_shots
from adaptation.methods.linear_probe import LinearProbe
from adaptation.model_selection import choose
from adaptation.task import Task
from adaptation.text.settings import TUNED
from adaptation.text.sources import ClipSource
from adaptation.tuning.image_dataset import Images
from indexer.encoder import Embeddings
from indexer.images.decode import Limits
from indexer.images.preprocess import Preprocess
from indexer.openclip.image_tower import ImageTower
from indexer.tokenizers.bpe import TokenIds
from indexer.weights.load_tower import obtain_tower
from labelled import few_of_each, share
from measure import report
from search.evaluation.dataset import read_ground_truth
from text_classes import TESTED, TOPICS, drawn, learnt, source_of, topics

EACH, TESTED_IMAGES = 12, 20
AT_ONCE = 8


@dataclass(frozen=True)
class Shuffled(ClipSource):
    """A text tower behind a tokenizer that numbers its words otherwise."""

    def ids(self, texts: list[str]) -> TokenIds:
        ids = super().ids(texts)
        text = self.bundle.text
        order = np.arange(text.end + 1)
        words = np.setdiff1d(order, [text.pad, text.start, text.end])
        order[words] = np.random.default_rng(0).permutation(words)
        return order[ids]


Measured = tuple[float, float]
"""The accuracy without the mistake, and with it."""


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    asked.add_argument("flickr", type=Path)
    asked.add_argument("pacs", type=Path)
    asked.add_argument("--count", type=int, default=200)
    asked.add_argument("--seeds", type=int, default=3)
    asked.add_argument("--epochs", type=int, default=10)
    given = asked.parse_args()
    found: dict[str, list[Measured]] = {}
    for name, measured in on_images(given.pacs).items():
        found[name] = [measured]
        _report(found, given)
    for seed in range(given.seeds):
        on_texts(given, seed, lambda name, one: _add(found, name, one, given))


def _add(
    found: dict[str, list[Measured]], name: str, measured: Measured, given: argparse.Namespace
) -> None:
    found.setdefault(name, []).append(measured)
    sys.stderr.write(f"{name}: {measured[0]:.1%} without, {measured[1]:.1%} with\n")
    _report(found, given)


def on_texts(given: argparse.Namespace, seed: int, add: Callable[[str, Measured], None]) -> None:
    source = source_of("pocket")
    known, tested = (topics(given.flickr / f"{part}.jsonl") for part in ("train", "dev"))
    test = drawn(tested, TESTED * len(TOPICS), 0)
    examples = drawn(known, given.count, seed)
    settings = replace(TUNED["full"], epochs=given.epochs, seed=seed)
    right = learnt(source, examples, test, settings, seed)
    changes = {
        "tower's rate 100 times too high": replace(settings, rate=100 * settings.rate),
        "no warm-up": replace(settings, warmup=0.0),
    }
    add("tower frozen", (right, learnt(source, examples, test, None, seed)))
    for name, changed in changes.items():
        add(name, (right, learnt(source, examples, test, changed, seed)))
    wrong = Shuffled(source.bundle, source.encoder)
    add("tokenizer of another vocabulary", (right, learnt(wrong, examples, test, settings, seed)))


def on_images(pacs: Path) -> dict[str, Measured]:
    source = source_of("pocket")
    truth = read_ground_truth(pacs / "art_painting")
    order = np.random.default_rng(0).permutation(len(truth)).tolist()
    shuffled = {path: truth[path] for path in (list(truth)[row] for row in order)}
    few = few_of_each(shuffled, EACH + TESTED_IMAGES)
    examples = read_examples(few, source.encoder)
    known = take_shots(examples.targets, EACH, 0)
    rest = np.setdiff1d(np.arange(len(examples.targets)), known)
    tested = rest[take_shots(examples.targets[rest], TESTED_IMAGES, 0)]
    visual, image = obtain_tower(source.bundle), source.bundle.image
    half = (image.size[0] // 2, image.size[1] // 2)
    ways = {
        "": image,
        "images not normalised": replace(image, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
        "images of half the size": replace(image, size=half),
    }
    right = {}
    for name, way in ways.items():
        parts = []
        for rows in (known, tested):
            paths = [examples.paths[row] for row in rows]
            vectors = _encoded(ImageTower(visual, way, "fp32"), paths, way)
            names = np.zeros((len(examples.classes), vectors.shape[1]), np.float32)
            parts.append(Task(vectors, examples.targets[rows], names, 1.0, examples.classes))
        head = choose(LinearProbe(), parts[0], 0).method.fit(parts[0], 0)
        right[name] = head.accuracy(parts[1])
        sys.stderr.write(f"{name or 'as it should be'}: {right[name]:.1%}\n")
    return {name: (right[""], one) for name, one in right.items() if name}


def _encoded(tower: ImageTower, paths: list[bytes], way: Preprocess) -> Embeddings:
    with torch.inference_mode():
        parts = [
            tower(torch.from_numpy(pixels)).numpy()
            for _, pixels in Images(paths, way, Limits()).batches(AT_ONCE)
        ]
    return np.concatenate(parts)


def _report(found: dict[str, list[Measured]], given: argparse.Namespace) -> None:
    rows = [
        {
            "mistake": name,
            "without, %": share([one for one, _ in own]),
            "with, %": share([two for _, two in own]),
            "points": f"{100 * np.mean([two - one for one, two in own]):+.1f}",
            "runs": len(own),
        }
        for name, own in found.items()
    ]
    report(
        "mistakes",
        "Six common mistakes, and what each costs",
        rows,
        notes=[
            f"Texts: {given.count} captions of six topics, full tuning for {given.epochs} epochs, "
            "600 tested, chance 16.7 %. Images: 84 art paintings of seven classes, a linear probe, "
            "140 tested, chance 14.3 %. Mean and standard deviation of the runs.",
        ],
    )


if __name__ == "__main__":
    main()
