"""End the making of a second model, and the change of a collection to it, at any moment.

usage: python -m scripts.torture.model_changes [--rounds 25] [--seed 18]

The second model is the built-in one with its weights changed a little, compiled here, which needs
clipdex[torch]. After each end `search` must answer exactly as with the old model or as with the new
one, `index` without a model must go on, and `index --model` complete the change. A traceback, a
hang, another answer, and whatever is lost are faults: exit code 1.
"""

import importlib.util
import json
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from .command import ENDS, clipdex, ended, wrong
from .photos import make_photos
from .report import Report, rounds_and_seed, say

IMAGES = 60
NAME = "second"
LABEL = "pear"
# Seconds that the commands take, and a little.
CHANGING, COMPILING = 4.0, 25.0
# Compiling takes the longest, and a collection has no part in it.
COMPILE_SHARE = 0.15

Answers = list[tuple[str, float]]


def make_model(folder: Path) -> None:
    """Write the built-in model with other weights, in open_clip's layout."""
    from safetensors.numpy import load_file, save_file

    clipdex("models", "export", "pocket", folder)
    file = folder / "open_clip_model.safetensors"
    weights = load_file(file)
    draw = np.random.default_rng(18)
    for name, one in weights.items():
        if one.ndim > 1:
            noise = draw.normal(size=one.shape) * 0.1 * one.std()
            weights[name] = (one + noise).astype(one.dtype)
    save_file(weights, file)


def answers(collection: Path) -> Answers | str:
    """Return paths and scores of what a search finds, or what is wrong."""
    done = clipdex("search", "a red thing", "-k", 1000, "--json", "--collection", collection)
    if fault := wrong(done, {0}):
        return fault
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return sorted((row["path"], round(row["score"], 4)) for row in rows)


def labels(collection: Path) -> bytes:
    """Return the labels of a collection, as they are listed."""
    return clipdex("tags", "list", "--json", "--collection", collection).stdout


def changed(
    photos: Path, collection: Path, how: str, draw: random.Random, known: tuple[Answers, Answers]
) -> str | None:
    """End a change of the model; return what is wrong then, None for nothing.

    Args:
        photos: What the collection holds.
        collection: Of the old model.
        how: One of `ENDS`.
        draw: Draws the moment.
        known: What searches find with the old model, and with the new one.
    """
    before = labels(collection)
    change = ("index", photos, "--model", NAME, "--batch-size", 4, "--collection", collection)
    for _ in range(draw.choice((1, 1, 2))):
        if fault := ended(change, how, draw, CHANGING):
            return fault
        if (found := answers(collection)) not in known:
            return f"search answers with neither model: {str(found)[:200]}"
    if draw.random() < 0.5:
        if fault := wrong(clipdex("index", photos, "--collection", collection), {0}):
            return f"index: {fault}"
        if (found := answers(collection)) not in known:
            return f"search answers with neither model after index: {str(found)[:200]}"
    if fault := wrong(clipdex(*change), {0}):
        return f"index --model: {fault}"
    if answers(collection) != known[1]:
        return "the change was not completed"
    return None if labels(collection) == before else "labels have changed"


def compiled(model: Path, cache: Path, how: str, draw: random.Random) -> str | None:
    """End the making of a model; return what is wrong then, None for nothing."""
    cache.mkdir()
    before = os.environ["CLIPDEX_CACHE"]
    os.environ["CLIPDEX_CACHE"] = str(cache)
    add = ("models", "add", model, "--name", NAME)
    try:
        fault = ended(add, how, draw, COMPILING)
        fault = fault or wrong(clipdex("models", "list"), {0})
        fault = fault or wrong(clipdex(*add), {0})
        return fault or wrong(clipdex("models", "verify", NAME), {0})
    finally:
        os.environ["CLIPDEX_CACHE"] = before


def main() -> int:
    """Run the command."""
    options = rounds_and_seed(25)
    if importlib.util.find_spec("open_clip") is None:
        say("not run: open_clip is not installed")
        return 0
    draw = random.Random(options.seed)
    report = Report()
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        os.environ["CLIPDEX_CACHE"] = str(place / "cache")
        photos, whole, model = place / "photos", place / "whole", place / "model"
        make_photos(photos, IMAGES)
        before = {path: path.read_bytes() for path in photos.rglob("*.jpg")}
        make_model(model)
        if fault := wrong(clipdex("models", "add", model, "--name", NAME), {0}):
            say(f"FAULT: models add: {fault}")
            return 1
        clipdex("index", photos, "--collection", whole)
        clipdex("tags", "add", LABEL, photos / "first", "--collection", whole)
        shutil.copytree(whole, place / "new")
        clipdex("index", photos, "--model", NAME, "--collection", place / "new")
        known = answers(whole), answers(place / "new")
        if isinstance(known[0], str) or isinstance(known[1], str) or known[0] == known[1]:
            say(f"FAULT: the two models answer {str(known)[:300]}")
            return 1
        for number in range(options.rounds):
            how = draw.choice(ENDS)
            if draw.random() < COMPILE_SHARE:
                fault = compiled(model, place / f"cache {number}", how, draw)
                shutil.rmtree(place / f"cache {number}")
                what = "models add"
            else:
                collection = place / f"collection {number}"
                shutil.copytree(whole, collection)
                fault = changed(photos, collection, how, draw, (known[0], known[1]))
                shutil.rmtree(collection)
                what = "index --model"
            if {path: path.read_bytes() for path in photos.rglob("*.jpg")} != before:
                fault = fault or "photos have changed"
            report.note(f"{what}, {how}", f"round {number}", [fault])
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
