"""Measure which tower to tune on captions: the image tower, the text tower, or both.

usage: python benchmarks/towers.py FLICKR8K [--pairs 256] [--tested 300] [--epochs 2] [--seed 0]
                                   [--towers image,text,both] [--model pocket]

Some of Flickr8k's train images with their captions, by seed; recall@1 of captions and of images on
dev's first images, which are read once per run.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from adaptation.data.pairs import Pairs, read_pairs
from adaptation.tuning.settings import Tuning
from adaptation.tuning.tune import RunConfig, tune
from indexer.encoder import Encoder
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.load import find_bundle
from measure import report
from search.evaluation.dataset import GroundTruth, read_ground_truth
from search.evaluation.metrics import first_ranks, recall_at

Metrics = dict[str, float]


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    asked.add_argument("flickr", type=Path)
    asked.add_argument("--pairs", type=int, default=256)
    asked.add_argument("--tested", type=int, default=300)
    asked.add_argument("--epochs", type=int, default=2)
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--towers", default="image,text,both")
    asked.add_argument("--model", default="pocket")
    given = asked.parse_args()
    bundle = find_bundle(given.model)
    encoder = OnnxEncoder(bundle, device="cpu", threads=torch.get_num_threads())
    known, dev = (read_ground_truth(given.flickr / f"{part}.jsonl") for part in ("train", "dev"))
    pairs = read_pairs(_first(known, given.pairs, given.seed), encoder)
    tested = _first(dev, given.tested, 0)
    dev_pairs = read_pairs(tested, encoder)
    rows = [_row("before", recall(encoder, dev_pairs), None, 0.0, 0)]
    for towers in given.towers.split(","):
        began = time.perf_counter()
        settings = Tuning(
            epochs=given.epochs, batch_size=64, at_once=8, seed=given.seed, towers=towers
        )
        with tempfile.TemporaryDirectory() as folder:
            name = f"benchmark-{towers}-{given.seed}"
            tuned = tune(
                bundle, encoder, pairs, settings, name, RunConfig(Path(folder)),
                on_note=lambda line: sys.stderr.write(line + "\n"),
            )  # fmt: skip
        minutes = (time.perf_counter() - began) / 60
        moved = OnnxEncoder(tuned.bundle, device="cpu", threads=torch.get_num_threads())
        again = dev_pairs if towers == "text" else read_pairs(tested, moved)
        learnt = int(str(tuned.bundle.tuned["learnt"]))
        rows.append(_row(towers, recall(moved, again), tuned.alpha, minutes, learnt))
        _report(rows, given)


def recall(encoder: Encoder, pairs: Pairs) -> Metrics:
    """Recall@1 in both directions."""
    captions = encoder.encode_texts(list(pairs.captions))
    scores = pairs.vectors @ captions.T
    right = (pairs.own[:, :, None] == np.arange(len(captions))).any(axis=1)
    return {
        "images": recall_at(first_ranks(scores.T, right.T), 1),
        "captions": recall_at(first_ranks(scores, right), 1),
    }


def _first(truth: GroundTruth, count: int, seed: int) -> GroundTruth:
    paths = list(truth)
    order = np.random.default_rng(seed).permutation(len(paths))[:count].tolist()
    return {paths[number]: truth[paths[number]] for number in order}


def _row(
    towers: str, metrics: Metrics, alpha: float | None, minutes: float, learnt: int
) -> dict[str, object]:
    return {
        "towers": towers,
        "parameters": f"{learnt:,}" if learnt else "",
        "image by caption, R@1, %": f"{100 * metrics['images']:.1f}",
        "caption by image, R@1, %": f"{100 * metrics['captions']:.1f}",
        "alpha": "" if alpha is None else f"{alpha:g}",
        "minutes": f"{minutes:.1f}" if minutes else "",
    }


def _report(rows: list[dict[str, object]], given: argparse.Namespace) -> None:
    report(
        "towers",
        "Tuning on captions: which tower moves",
        rows,
        notes=[
            f"{given.pairs} images of Flickr8k train with five captions each, {given.epochs} "
            f"epochs, batches of 64, one seed; measured among {given.tested} images of dev. The "
            "minutes are of one core, beside other work."
        ],
    )


if __name__ == "__main__":
    main()
