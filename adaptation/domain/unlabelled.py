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


def find_files(folder: Path) -> list[File]:
    """Return the image files of a folder and of all folders in it.

    Raises:
        ExamplesError: There are too few.
        RootUnavailable: The folder does not exist.
    """
    files = files_in([folder])[0]
    _require_enough(folder, len(files))
    return files


def read_unlabelled(
    folder: Path,
    files: list[File],
    encoder: Encoder,
    *,
    stored: Lookup | None = None,
    workers: int | None = None,
) -> Unlabelled:
    """Embed image files, each content once.

    Args:
        folder: What errors call them.
        files: The files.
        encoder: Makes the vectors that `stored` does not have.
        stored: The collection's vectors.
        workers: How many images are decoded at a time.

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
    _require_enough(folder, len(found))
    vectors = np.stack([vector for _, vector in found.values()])
    return Unlabelled(vectors, tuple(p for p, _ in found.values()), tuple(found), tuple(skipped))


def _require_enough(folder: Path, count: int) -> None:
    if count < MIN_IMAGES:
        raise ExamplesError(
            f"{os.fspath(folder)} has {count or 'no'} {'image' if count == 1 else 'images'} to "
            f"adapt to: give {MIN_IMAGES} or more, since a method learns from them what images of "
            "that kind have in common"
        )
