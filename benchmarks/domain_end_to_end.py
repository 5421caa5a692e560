"""Measure DANN through the image tower beside heads on its stored vectors, on a subset of PACS.

usage: python benchmarks/domain_end_to_end.py PACS [--pairs photo:sketch,photo:cartoon] [--seeds 1]
                                              [--images 10] [--tested 20] [--epochs 4]

Of each class `--images` of the source with labels and as many of the target without, and `--tested`
others of the target to test, read once. `--end-to-end lora` with its own settings, but for the
epochs; "not reversed" is the same with a strength of 0: LoRA on the source alone. Heads learn from
the same images.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from adaptation.data.examples import Examples, read_examples
from adaptation.domain.distance import distances
from adaptation.domain.end_to_end import STRENGTH, tune_across, vectors_of
from adaptation.domain.learn import Domains, examples_like
from adaptation.domain.registry import METHODS
from adaptation.domain.selection import select, source_only
from adaptation.domain.unlabelled import Unlabelled
from adaptation.tuning.settings import METHODS as TUNING
from adaptation.tuning.tune import RunConfig
from indexer import load_encoder
from indexer.encoder import Encoder
from indexer.encoders.onnx_encoder import OnnxEncoder
from indexer.load import find_bundle
from labelled import share, zero_shot
from measure import report
from search.evaluation.dataset import read_ground_truth

Values = dict[str, list[float]]
TUNED = {"dann, end to end": STRENGTH, "not reversed, end to end": 0.0}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    asked.add_argument("pacs", type=Path)
    asked.add_argument("--pairs", default="photo:sketch,photo:cartoon")
    asked.add_argument("--seeds", type=int, default=1)
    asked.add_argument("--images", type=int, default=10)
    asked.add_argument("--tested", type=int, default=20)
    asked.add_argument("--epochs", type=int, default=4)
    given = asked.parse_args()
    encoder = load_encoder(threads=torch.get_num_threads())
    found: dict[str, Values] = {}
    for seed in range(given.seeds):
        for pair in given.pairs.split(","):
            source, target = (given.pacs / one for one in pair.split(":"))
            into = found.setdefault(" → ".join(pair.split(":")), {})
            known = _drawn(source, encoder, seed, 0, given.images)
            seen = _drawn(target, encoder, seed, 0, given.images)
            test = _drawn(target, encoder, seed, given.images, given.images + given.tested)
            for name, value in _measure(known, seen, test, encoder, seed, given.epochs):
                into.setdefault(name, []).append(value)
                sys.stderr.write(f"{pair}, seed {seed}: {name} {value:.3f}\n")
                if " " in name and name.endswith("minutes"):
                    _report(found, given)


def _drawn(folder: Path, encoder: Encoder, seed: int, first: int, last: int) -> Examples:
    """The images of each class from `first` to `last`, in the seed's order."""
    truth = read_ground_truth(folder)
    random = np.random.default_rng(seed)
    chosen = {}
    for name in sorted({known.labels[0] for known in truth.values()}):
        own = sorted(path for path in truth if truth[path].labels == [name])
        for number in random.permutation(len(own))[first:last].tolist():
            chosen[own[number]] = truth[own[number]]
    return read_examples(chosen, encoder)


def _measure(  # type: ignore[no-untyped-def]
    known: Examples, seen: Examples, test: Examples, encoder: Encoder, seed: int, epochs: int
):
    domains = Domains(known, Unlabelled(seen.vectors, seen.paths, seen.digests))
    shift = domains.shift(encoder, ())
    asked = examples_like(shift.source, test)
    yield "zero-shot", zero_shot(asked)
    yield "source-only", source_only(shift, seed).fitted.accuracy(asked)
    for name, method in METHODS.items():
        yield f"{name}, vectors", select(method(), shift, seed).fitted.accuracy(asked)
    before = distances(shift.source.vectors, shift.target)
    yield "told before", before.domain_accuracy
    yield "mmd before", before.mmd
    for name, strength in TUNED.items():
        began = time.process_time()
        settings = replace(TUNING["lora"], epochs=epochs, seed=seed)
        with tempfile.TemporaryDirectory() as scratch:
            made = tune_across(
                find_bundle("pocket"),
                encoder,
                domains,
                settings,
                f"benchmark-domain-{seed}",
                RunConfig(Path(scratch)),
                strength=strength,
                on_note=lambda line: sys.stderr.write(f"  {line}\n"),
            )
        moved = OnnxEncoder(made.tuned.bundle, device="cpu", threads=torch.get_num_threads())
        ours, theirs, new = (
            vectors_of(paths, moved, None) for paths in (known.paths, seen.paths, test.paths)
        )
        yield name, float((made.head.logits(new).argmax(axis=1) == test.targets).mean())
        after = distances(ours, theirs)
        yield f"told after {name}", after.domain_accuracy
        yield f"mmd after {name}", after.mmd
        yield f"alpha {name}", made.tuned.alpha
        yield f"{name}, minutes", (time.process_time() - began) / 60


def _report(found: dict[str, Values], given: argparse.Namespace) -> None:
    shown = [
        "zero-shot", "source-only", *(f"{name}, vectors" for name in METHODS), *TUNED
    ]  # fmt: skip
    rows = [
        {
            "method": name,
            **{pair: share(own[name]) if name in own else "" for pair, own in found.items()},
        }
        for name in shown
    ]
    notes = [
        f"{given.images} labelled images of the source and {given.images} unlabelled ones of the "
        f"target a class, {given.tested} others of the target to test, {given.epochs} epochs of "
        f"LoRA; {given.seeds} seed(s)."
    ]
    for pair, own in found.items():
        notes.append(
            f"{pair}: "
            + "; ".join(
                f"{key} {np.mean(values):.3f}"
                for key, values in own.items()
                if key.startswith(("told", "mmd ", "alpha")) or key.endswith("minutes")
            )
            + "."
        )
    report(
        "domain_end_to_end",
        "DANN through the image tower: accuracy on the target's test part, %",
        rows,
        notes=[
            *notes,
            "told: how often a fresh linear classifier tells the domains apart by the vectors, "
            "from 0 to 1, before and after; minutes are of processor time.",
        ],
        runs=found,
    )


if __name__ == "__main__":
    main()
