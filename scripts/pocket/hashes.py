"""Stage 2: hashes that tell whether two images are alike."""

import hashlib
import io
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from .places import CACHE, DATASETS

# Two images are alike if both hashes differ in at most so many of their 64 bits.
PERCEPTUAL, DIFFERENCE = 10, 12

HELD_OUT = ("flickr8k/dev", "caltech101/train", "caltech101/val", "pacs")

_DCT = np.cos(np.pi / 32 * (np.arange(32) + 0.5)[None, :] * np.arange(8)[:, None])


def bits(grey_32: np.ndarray) -> np.ndarray:
    """Return the perceptual and the difference hash, two uint64, of a 32 x 32 grey image."""
    low = (_DCT @ grey_32 @ _DCT.T).ravel()
    perceptual = low > np.median(low[1:])
    rows = grey_32.reshape(8, 4, 32).mean(1)
    edges = np.linspace(0, 32, 10).astype(int)
    columns = np.stack([rows[:, a:b].mean(1) for a, b in itertools.pairwise(edges)], 1)
    difference = (columns[:, 1:] > columns[:, :-1]).ravel()
    packed = np.packbits(np.stack([perceptual, difference]), axis=1)
    return packed.view(">u8").astype(np.uint64).ravel()


def grey(image: Image.Image) -> np.ndarray:
    """Return an image as 32 x 32 grey values."""
    small = image.convert("L").resize((32, 32), Image.Resampling.BOX, reducing_gap=2)
    return np.asarray(small, np.float32)


def held_out() -> tuple[set[str], np.ndarray]:
    """Return the byte hashes of all images that only measure, and their bits, mirrored too."""
    kept = CACHE / "held_out.npz"
    if not kept.is_file():
        digests, rows = [], []
        for path in _images():
            content = path.read_bytes()
            digests.append(hashlib.sha256(content).hexdigest())
            values = grey(Image.open(io.BytesIO(content)))
            rows += [bits(values), bits(values[:, ::-1])]
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, digests=np.array(digests), bits=np.stack(rows))
    with np.load(kept) as loaded:
        return set(loaded["digests"].tolist()), loaded["bits"]


def alike(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return for each of some bits (n, 2) whether any of the others (m, 2) is alike."""
    found = np.zeros(len(some), bool)
    for start in range(0, len(some), 1024):
        part = some[start : start + 1024]
        near = np.bitwise_count(part[:, None, 0] ^ others[None, :, 0]) <= PERCEPTUAL
        near &= np.bitwise_count(part[:, None, 1] ^ others[None, :, 1]) <= DIFFERENCE
        found[start : start + 1024] = near.any(1)
    return found


def _images() -> Iterator[Path]:
    for part in HELD_OUT:
        for path in sorted((DATASETS / part).rglob("*")):
            if path.suffix.lower() in (".jpg", ".jpeg", ".png"):
                yield path
