"""Measure tuning on captions: recall on other images' captions, and what old queries lose.

usage: python benchmarks/captions.py FLICKR8K CALTECH101 [--pacs PACS] [--seeds 3] [--epochs 1]

2,000 of Flickr8k's train images with their captions, by seed; recall is measured on dev,
zero-shot accuracy on Caltech-101's val, before and after. The built-in model learnt from Flickr8k's
train captions already, so with PACS the same is done for what it does not know: 40 sketches of each
of seven classes, captioned "a sketch of a CLASS", measured by how often the name of 40 others of
each comes first.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from adaptation.data.examples import Examples, read_examples
from adaptation.data.pairs import read_pairs
from adaptation.tuning.settings import CAPTIONS_BATCH, Tuning
from adaptation.tuning.tune import RunConfig, Tuned, tune
from indexer import load_encoder
from indexer.bundles.bundle import Bundle
from indexer.encoder import Encoder
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.load import find_bundle
from labelled import few_of_each, share
from measure import report
from search.evaluation.dataset import GroundTruth, Known, read_ground_truth
from search.evaluation.evaluate import Evaluation, embed_dataset, evaluate

PAIRS, OLD_EACH, SKETCHES = 2000, 1, 40


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    asked.add_argument("flickr", type=Path)
    asked.add_argument("caltech", type=Path)
    asked.add_argument("--pacs", type=Path)
    asked.add_argument("--seeds", type=int, default=3)
    asked.add_argument("--epochs", type=int, default=1)
    given = asked.parse_args()
    encoder, bundle = load_encoder(threads=torch.get_num_threads()), find_bundle("pocket")
    photos = read_ground_truth(given.caltech / "val")
    old = read_examples(few_of_each(photos, OLD_EACH), encoder)
    known, dev = (read_ground_truth(given.flickr / f"{part}.jsonl") for part in ("train", "dev"))
    sketches = read_ground_truth(given.pacs / "sketch") if given.pacs else None
    runs: dict[str, list[dict[str, object]]] = {}
    common = bundle, encoder, old, photos
    for seed in range(given.seeds):
        settings = Tuning(epochs=given.epochs, batch_size=CAPTIONS_BATCH, seed=seed)
        _one(runs, "Flickr8k", _sampled(known, PAIRS, seed), dev, settings, common)
        _report(runs)
    for seed in range(given.seeds if sketches is not None else 0):
        learnt, others = _halves(sketches, seed)
        settings = Tuning(epochs=4 * given.epochs, batch_size=CAPTIONS_BATCH, seed=seed)
        _one(runs, "sketches", learnt, others, settings, common)
        _report(runs)


Common = tuple[Bundle, Encoder, Examples, GroundTruth]


def _one(
    runs: dict[str, list[dict[str, object]]],
    data: str,
    learnt: GroundTruth,
    measured: GroundTruth,
    settings: Tuning,
    common: Common,
) -> None:
    bundle, encoder, old, photos = common
    began = time.perf_counter()
    pairs = read_pairs(learnt, encoder)
    with tempfile.TemporaryDirectory() as folder:
        name = f"benchmark-captions-{settings.seed}"
        tuned = tune(bundle, encoder, pairs, settings, name, RunConfig(Path(folder)), old=old)
    minutes = (time.perf_counter() - began) / 60
    moved = OnnxEncoder(tuned.bundle, device="cpu", threads=torch.get_num_threads())
    metrics = _metrics(measured, photos, (encoder, moved))
    sys.stderr.write(f"{data}, seed {settings.seed}: {metrics}, {minutes:.1f} min\n")
    runs.setdefault(data, []).append({**metrics, "minutes": minutes, **_settings_of(tuned)})


def _settings_of(tuned: Tuned) -> dict[str, object]:
    return {"alpha": tuned.alpha, "sweep": tuned.sweep, "epochs": tuned.epochs}


def _metrics(
    measured: GroundTruth, photos: GroundTruth, encoders: tuple[Encoder, Encoder]
) -> dict[str, list[float]]:
    """Return the metrics before and after tuning."""
    found: dict[str, list[float]] = {}
    for encoder in encoders:
        new, known = (
            evaluate(embed_dataset(truth, encoder), encoder, name="")
            for truth in (measured, photos)
        )
        found.setdefault("new", []).append(_share_found(new))
        assert known.zero_shot is not None
        found.setdefault("old", []).append(known.zero_shot.top_1)
    return found


def _share_found(metrics: Evaluation) -> float:
    """Return recall@10 of captions, or accuracy of labels."""
    if metrics.text_to_image is not None:
        return metrics.text_to_image.recall_at_10
    assert metrics.zero_shot is not None
    return metrics.zero_shot.top_1


def _sampled(truth: GroundTruth, count: int, seed: int) -> GroundTruth:
    paths = list(truth)
    order = np.random.default_rng(seed).permutation(len(paths))[:count].tolist()
    return {paths[number]: truth[paths[number]] for number in order}


def _halves(truth: GroundTruth, seed: int) -> tuple[GroundTruth, GroundTruth]:
    """Return captioned sketches to learn from, and labelled ones to measure on."""
    order = _sampled(truth, len(truth), seed)
    learnt = few_of_each(order, SKETCHES)
    others = few_of_each({path: order[path] for path in order if path not in learnt}, SKETCHES)
    captioned = {
        path: Known(captions=[f"a sketch of a {known.labels[0]}"]) for path, known in learnt.items()
    }
    return captioned, others


def _report(runs: dict[str, list[dict[str, object]]]) -> None:
    rows = []
    for data, own in runs.items():
        new, old = ([one[key] for one in own] for key in ("new", "old"))
        rows.append(
            {
                "captions of": data,
                "new before, %": share([before for before, _ in new]),
                "after": share([after for _, after in new]),
                "Caltech-101 before, %": share([before for before, _ in old]),
                "after ": share([after for _, after in old]),
                "alpha": ", ".join(f"{one['alpha']:g}" for one in own),
                "minutes": f"{statistics.median(one['minutes'] for one in own):.1f}",
            }
        )
    seeds = max(len(own) for own in runs.values())
    report(
        "captions",
        "Tuning on captions",
        rows,
        notes=[
            f"Mean and standard deviation of {seeds} seeds. New: recall@10 of Flickr8k dev's "
            "captions; for sketches, the share of others whose class's name comes first. "
            "Caltech-101: zero-shot accuracy on its 1,177 val photos."
        ],
        runs=runs,
    )


if __name__ == "__main__":
    main()
