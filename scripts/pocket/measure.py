"""Stage 9: measure a checkpoint with open_clip, on what took no part in training.

python -m pocket.measure FOLDER...
"""

import json
import sys
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image
from torch import Tensor

from .places import DATASETS

DOMAINS = ("photo", "art_painting", "cartoon", "sketch")


class Measured:
    """A checkpoint in open_clip's layout.

    Args:
        folder: Where it is.
    """

    def __init__(self, folder: Path) -> None:
        spec = f"local-dir:{folder}"
        self.model, _, self.preprocess = open_clip.create_model_and_transforms(
            spec, precision="fp32"
        )
        self.model.eval()
        self.tokenizer = open_clip.get_tokenizer(spec)

    @torch.no_grad()
    def images(self, paths: list[Path]) -> Tensor:
        """Return the normalised embeddings of images."""
        parts = []
        for at in range(0, len(paths), 32):
            batch = [self.preprocess(Image.open(path)) for path in paths[at : at + 32]]
            parts.append(self.model.encode_image(torch.stack(batch), normalize=True))
        return torch.cat(parts)

    @torch.no_grad()
    def texts(self, sentences: list[str]) -> Tensor:
        """Return the normalised embeddings of sentences."""
        ids = self.tokenizer(sentences)
        parts = [self.model.encode_text(part, normalize=True) for part in ids.split(128)]
        return torch.cat(parts)


def retrieval(measured: Measured) -> dict[str, list[float]]:
    """Return R@1, 5 and 10 in per cent on Flickr8k dev, both ways."""
    root = DATASETS / "flickr8k"
    lines = [json.loads(line) for line in (root / "dev.jsonl").read_text().splitlines()]
    images = measured.images([root / line["image"] for line in lines])
    texts = measured.texts([caption for line in lines for caption in line["captions"]])
    owner = np.repeat(np.arange(len(lines)), [len(line["captions"]) for line in lines])
    return recalls((texts @ images.T).numpy(), owner)


def recalls(scores: np.ndarray, owner: np.ndarray) -> dict[str, list[float]]:
    """Return R@1, 5 and 10 of scores (captions, images), each caption owned by an image."""
    own = scores[np.arange(len(owner)), owner]
    rank = (scores > own[:, None]).sum(1)
    forth = [100 * float((rank < k).mean()) for k in (1, 5, 10)]
    best = np.argsort(-scores, axis=0)[:10]
    hit = owner[best] == np.arange(scores.shape[1])
    back = [100 * float(hit[:k].any(0).mean()) for k in (1, 5, 10)]
    return {"text to image": forth, "image to text": back}


def zero_shot(measured: Measured, folder: Path) -> tuple[float, np.ndarray]:
    """Return the share of right classes in per cent, of a folder with a folder a class."""
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir())
    paths, wanted = [], []
    for number, name in enumerate(classes):
        for path in sorted((folder / name).iterdir()):
            paths.append(path)
            wanted.append(number)
    texts = measured.texts([f"a photo of a {name.replace('_', ' ')}" for name in classes])
    found = (measured.images(paths) @ texts.T).argmax(1).numpy()
    return 100 * float((found == np.array(wanted)).mean()), found


def report(folder: Path, parts: str = "flickr8k caltech101 pacs") -> dict[str, object]:
    """Return all figures of a checkpoint."""
    measured = Measured(folder)
    figures: dict[str, object] = {}
    if "flickr8k" in parts:
        figures |= retrieval(measured)
    if "caltech101" in parts:
        figures["caltech101 val"] = zero_shot(measured, DATASETS / "caltech101" / "val")[0]
    if "pacs" in parts:
        for domain in DOMAINS:
            figures[f"pacs {domain}"] = zero_shot(measured, DATASETS / "pacs" / domain)[0]
    return figures


if __name__ == "__main__":
    torch.set_num_threads(2)
    for name in sys.argv[1:]:
        for what, figure in report(Path(name)).items():
            sys.stdout.write(f"{name} {what}: {figure}\n")
            sys.stdout.flush()
