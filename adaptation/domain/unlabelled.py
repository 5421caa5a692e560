"""Images whose labels are wanted: one vector each, and nothing else."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexer.encoder import Embeddings, Encoder
from indexer.errors import ExamplesError
from indexer.pipeline.embed_files import embed_files
from indexer.pipeline.embed_files import tasks_of as files_in
from indexer.store.lookup import Lookup
from indexer.store.rows import Task as File

# With fewer, nothing about their domain can be learned.
MIN_IMAGES = 10
# To compare two sets, of which each is cut into two parts or more.
MIN_COMPARED = 4


@dataclass(frozen=True)
class Unlabelled:
    """Images without labels.

    Attributes:
        vectors: `(n, dim)`, of unit length.
        paths: Of each image.
        digests: Of each image's bytes.
        skipped: (path, reason) of files that cannot be read.
    """

    vectors: Embeddings
    paths: tuple[bytes, ...]
    digests: tuple[bytes, ...]
    skipped: tuple[tuple[bytes, str], ...] = ()


def find_files(folder: Path, at_least: int = MIN_IMAGES) -> list[File]:
    """Return the image files of a folder and of all folders in it.

    Args:
        folder: The folder.
        at_least: How many there have to be.

    Raises:
        ExamplesError: There are too few.
        RootUnavailable: The folder does not exist.
    """
    files = files_in([folder])[0]
    _require_enough(folder, len(files), at_least)
    return files


def read_unlabelled(
    folder: Path,
    files: list[File],
    encoder: Encoder,
    *,
    stored: Lookup | None = None,
    workers: int | None = None,
    at_least: int = MIN_IMAGES,
) -> Unlabelled:
    """Embed image files, each content once.

    Args:
        folder: What errors call them.
        files: The files.
        encoder: Makes the vectors that `stored` does not have.
        stored: The collection's vectors.
        workers: How many images are decoded at a time.
        at_least: How many of them have to be images.

    Raises:
        ExamplesError: Too few of them can be read.
    """
    found: dict[bytes, tuple[bytes, Embeddings]] = {}
    skipped = []
    for one in embed_files(files, encoder, list, stored=stored, workers=workers):
        if one.value is None:
            skipped.append((one.path, one.reason or ""))
        else:
            found.setdefault(one.digest, (one.path, one.value))
    _require_enough(folder, len(found), at_least)
    vectors = np.stack([vector for _, vector in found.values()])
    return Unlabelled(vectors, tuple(p for p, _ in found.values()), tuple(found), tuple(skipped))


def _require_enough(folder: Path, count: int, at_least: int) -> None:
    if count < at_least:
        raise ExamplesError(
            f"{os.fspath(folder)} has {count or 'no'} {'image' if count == 1 else 'images'}: give "
            f"{at_least} or more, from which it can be seen what images of that kind have in common"
        )
