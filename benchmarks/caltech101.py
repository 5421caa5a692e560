"""Compare clipdex with open_clip on Caltech-101, with the same checkpoint and the same photos.

Zero-shot top-1 and mean precision@10 of "a photo of a {class}" by `clipdex eval`.

usage: python benchmarks/caltech101.py DATA CHECKPOINT
    DATA: a folder of CLASS/*.jpg. CHECKPOINT: pocket's, in open_clip's local-dir layout
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from measure import COMMAND, report

TEMPLATE = "a photo of a {}"


def spoken(folder: str) -> str:
    """A class folder's name as words."""
    return folder.replace("_", " ")


def product(data: Path, scratch: Path) -> tuple[float, float]:
    """(top-1, mean precision@10) by `clipdex eval`, which calls a class as `spoken` does."""
    command = [COMMAND, "eval", data, "--template", TEMPLATE, "--json", "--collection", scratch]
    metrics = json.loads(subprocess.check_output(command))
    return metrics["zero_shot"]["top_1"], metrics["label_retrieval"]["precision_at_10"]


def open_clip_itself(data: Path, names: list[str], checkpoint: Path) -> tuple[float, float]:
    """(top-1, mean precision@10) by open_clip, full-size decoding, no clipdex involved."""
    import open_clip
    import torch

    spec = f"local-dir:{checkpoint}"
    model, _, transform = open_clip.create_model_and_transforms(spec)
    model.eval()
    tokenizer = open_clip.get_tokenizer(spec)
    files = sorted(data.glob("*/*.jpg"))
    truth = np.array([names.index(file.parent.name) for file in files])
    with torch.inference_mode():
        texts = model.encode_text(
            tokenizer([TEMPLATE.format(spoken(name)) for name in names]), normalize=True
        ).numpy()
        images = np.concatenate(
            [
                model.encode_image(
                    torch.stack([transform(Image.open(file)) for file in files[at : at + 32]]),
                    normalize=True,
                ).numpy()
                for at in range(0, len(files), 32)
            ]
        )
    scores = images @ texts.T
    best = np.argsort(-scores, axis=0)[:10]
    precision = (truth[best] == np.arange(len(names))).mean()
    return float((scores.argmax(axis=1) == truth).mean()), float(precision)


def main(data: Path, checkpoint: Path) -> None:
    names = sorted(folder.name for folder in data.iterdir() if folder.is_dir())
    with tempfile.TemporaryDirectory() as scratch:
        ours = product(data, Path(scratch) / "none")
    theirs = open_clip_itself(data, names, checkpoint)
    rows = [
        {
            "measure": measure,
            "clipdex, %": f"{100 * mine:.2f}",
            "open_clip, %": f"{100 * other:.2f}",
            "difference, points": f"{100 * (mine - other):+.2f}",
        }
        for measure, mine, other in zip(
            ("zero-shot top-1", "mean precision@10"), ours, theirs, strict=True
        )
    ]
    report("caltech101", f"Caltech-101, {len(names)} classes, {TEMPLATE!r}", rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
