"""Captioned images as contrastive tuning uses them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexer.encoder import Embeddings, Encoder
from indexer.errors import ExamplesError
from indexer.store.lookup import Lookup
from search.evaluation.dataset import GroundTruth
from search.evaluation.evaluate import embed_dataset

# With fewer, none can be held out.
MIN_PAIRS = 4


@dataclass(frozen=True)
class Pairs:
    """Images with captions.

    Attributes:
        vectors: `(n, dim)`, of unit length.
        captions: The different texts.
        own: `(n, most)`, the numbers of each image's captions, padded with -1.
        paths: Of each image.
        digests: Of each image's bytes.
        skipped: (path, reason) of files that cannot be read.
    """

    vectors: Embeddings
    captions: tuple[str, ...]
    own: NDArray[np.int64]
    paths: tuple[bytes, ...]
    digests: tuple[bytes, ...]
    skipped: tuple[tuple[bytes, str], ...] = ()


def read_pairs(
    truth: GroundTruth,
    encoder: Encoder,
    *,
    stored: Lookup | None = None,
    workers: int | None = None,
) -> Pairs:
    """Read the captioned images of a ground truth.

    Args:
        truth: Captions by path.
        encoder: Makes the vectors that `stored` does not have.
        stored: The collection's vectors.
        workers: How many images are decoded at a time.

    Raises:
        ExamplesError: There are fewer than four.
    """
    data = embed_dataset(truth, encoder, stored=stored, workers=workers)
    rows = [row for row, captions in enumerate(data.captions) if captions]
    if len(rows) < MIN_PAIRS:
        raise ExamplesError(
            f"{len(rows)} images have a caption: give {MIN_PAIRS} or more, since some are held out"
        )
    numbers: dict[str, int] = {}
    own = np.full((len(rows), max(len(set(data.captions[row])) for row in rows)), -1, np.int64)
    for place, row in enumerate(rows):
        texts = dict.fromkeys(data.captions[row])
        own[place, : len(texts)] = [numbers.setdefault(text, len(numbers)) for text in texts]
    return Pairs(
        data.vectors[rows],
        tuple(numbers),
        own,
        tuple(data.paths[row] for row in rows),
        tuple(data.digests[row] for row in rows),
        tuple(data.skipped),
    )
