"""What text classifiers learn: probe, full tuning, LoRA and random weights, by examples.

usage: python benchmarks/text_classes.py FLICKR8K [--counts 20,200,1000] [--seeds 3] [--epochs 5]
                                         [--methods probe,full,lora,scratch] [--model pocket]
    FLICKR8K: a folder with train.jsonl and dev.jsonl, lines of {"image": ..., "captions": [...]}

Topics are made by a rule: a caption that has a word of exactly one of the topics below belongs to
that topic, and its words are taken out. As many of each are drawn from train by seed, a fifth of
which is held out to choose settings and the epoch by; 100 of each from dev are read once per run.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from adaptation.methods.linear_probe import LinearProbe
from adaptation.model_selection import choose
from adaptation.task import Task
from adaptation.text.examples import LabelledTexts, same
from adaptation.text.settings import PROBE, TUNED
from adaptation.text.sources import ClipSource, Source
from adaptation.text.tuned import tune_text
from adaptation.tuning.settings import Tuning
from adaptation.tuning.text_tower import Texts, encode
from indexer.encoder import Embeddings
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.load import find_bundle
from labelled import share
from measure import report

TOPICS = {
    "ball": ("ball", "balls"),
    "bike": ("bike", "bikes", "bicycle", "bicycles"),
    "child": ("child", "children"),
    "dog": ("dog", "dogs"),
    "snow": ("snow", "snowy"),
    "water": ("water",),
}
TESTED = 100


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    asked.add_argument("flickr", type=Path)
    asked.add_argument("--counts", default="20,200,1000")
    asked.add_argument("--seeds", type=int, default=3)
    asked.add_argument("--epochs", type=int, default=5)
    asked.add_argument("--methods", default="probe,full,lora,scratch")
    asked.add_argument("--model", default="pocket")
    given = asked.parse_args()
    source = source_of(given.model)
    known, tested = (topics(given.flickr / f"{part}.jsonl") for part in ("train", "dev"))
    test = drawn(tested, TESTED * len(TOPICS), 0)
    runs: dict[str, dict[int, list[dict[str, float]]]] = {}
    for count in map(int, given.counts.split(",")):
        for seed in range(given.seeds):
            examples = drawn(known, count, seed)
            for method in given.methods.split(","):
                began = time.perf_counter()
                settings = TUNED.get(method)
                if settings is not None:
                    settings = replace(settings, epochs=given.epochs, seed=seed)
                right = learnt(source, examples, test, settings, seed)
                seconds = time.perf_counter() - began
                own = runs.setdefault(method, {}).setdefault(count, [])
                own.append({"right": right, "seconds": seconds})
                sys.stderr.write(f"{count}, {seed}, {method}: {right:.1%}, {seconds:.0f} s\n")
                _report(runs, given.epochs)


def source_of(model: str) -> ClipSource:
    bundle = find_bundle(model)
    return ClipSource(bundle, OnnxEncoder(bundle, device="cpu"))


def topics(file: Path) -> dict[str, list[str]]:
    """The captions of each topic, without its words; each text once."""
    topic_of = {word: topic for topic, words in TOPICS.items() for word in words}
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for line in file.read_text(encoding="utf-8").splitlines():
        for caption in json.loads(line)["captions"]:
            words = caption.split()
            own = {topic_of[word.lower()] for word in words if word.lower() in topic_of}
            text = " ".join(word for word in words if word.lower() not in topic_of)
            if len(own) == 1 and text:
                found[own.pop()].setdefault(same(text), text)
    return {topic: list(found[topic].values()) for topic in TOPICS}


def drawn(texts: dict[str, list[str]], count: int, seed: int) -> LabelledTexts:
    """`count` texts, as many of each topic; where it does not divide, the first have one more."""
    random = np.random.default_rng(seed)
    chosen, targets = [], []
    for number, own in enumerate(texts.values()):
        each = count // len(texts) + (number < count % len(texts))
        rows = random.permutation(len(own))[:each].tolist()
        chosen += [own[row] for row in rows]
        targets += [number] * len(rows)
    lines = tuple(range(1, len(chosen) + 1))
    return LabelledTexts(tuple(chosen), np.array(targets), tuple(texts), lines)


def learnt(
    source: Source,
    examples: LabelledTexts,
    test: LabelledTexts,
    settings: Tuning | None,
    seed: int,
) -> float:
    """The share of test texts that a classifier learnt with the product's code is right on."""
    if settings is None:
        vectors = source.vectors(list(examples.texts))
        names = np.zeros((len(examples.classes), vectors.shape[1]), np.float32)
        copies = examples.copies()
        task = Task(vectors, examples.targets, names, 1.0, examples.classes, copies=copies)
        head = choose(LinearProbe(), task, seed).method.fit(task, seed)
        tested = source.vectors(list(test.texts))
    else:
        with tempfile.TemporaryDirectory() as folder:
            tuned = tune_text(source, examples, settings, Path(folder))
        head = tuned.head
        tested = _vectors(tuned.tower, source, list(test.texts))
    return float((head.logits(tested).argmax(axis=1) == test.targets).mean())


def _vectors(tower: object, source: Source, texts: list[str]) -> Embeddings:
    """Of texts sorted by length, so that little padding is encoded."""
    ids = source.ids(texts)
    order = np.argsort((ids != source.pad).sum(axis=1), kind="stable")
    vectors = encode(tower, Texts(ids[order], source.pad, source.cut))
    return vectors[np.argsort(order)]


def _report(runs: dict[str, dict[int, list[dict[str, float]]]], epochs: int) -> None:
    """Of the runs so far."""
    counts = sorted({count for own in runs.values() for count in own})
    rows = []
    for method, own in runs.items():
        row: dict[str, object] = {"method": method}
        for count in counts:
            found = own.get(count, [])
            few = f" ({len(found)})" if 0 < len(found) < 3 else ""
            row[str(count)] = share([one["right"] for one in found]) + few if found else ""
        last = own[max(own)]
        row[f"seconds, {max(own):,}"] = f"{statistics.median(one['seconds'] for one in last):.0f}"
        rows.append(row)
    width = max(rows, key=len)
    report(
        "text_classes",
        "Topics of captions: accuracy on Flickr8k dev by examples, %",
        [{key: row.get(key, "") for key in width} for row in rows],
        notes=[
            "Mean and standard deviation of three draws, of fewer where a number in brackets says "
            f"so; 600 dev captions of six topics, chance is 16.7 %. {PROBE} chooses its settings "
            f"by cross-validation; the others train {epochs} epochs, the best on a fifth held out "
            "counts, beside other work on the machine."
        ],
        runs=runs,
    )


if __name__ == "__main__":
    main()
