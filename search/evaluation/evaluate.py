"""Measures how well a model finds and labels a user's own images."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.encoder import Embeddings, Encoder
from indexer.errors import GroundTruthError
from indexer.images.decode import Limits
from indexer.pipeline.embed_files import embed_files, task_of
from indexer.store.lookup import Lookup
from search.labels.zero_shot import DEFAULT_TEMPLATES, class_vectors

from .dataset import GroundTruth
from .metrics import average_precisions, first_ranks, mean_per_class, precisions_at, recall_at

# Rows of a score matrix in memory at once.
BLOCK = 256


@dataclass
class EmbeddedDataset:
    """The images that could be read, one row for each different content.

    Attributes:
        vectors: `(n, dim)`.
        labels: Of each row, from all files that hold the content.
        captions: Of each row, from all files that hold the content.
        skipped: (path, reason) of files that could not be read.
        paths: Of each row, the first file.
        digests: Of each row, the hash of the content.
    """

    vectors: Embeddings
    labels: list[list[str]]
    captions: list[list[str]]
    skipped: list[tuple[bytes, str]] = field(default_factory=list)
    paths: list[bytes] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)


@dataclass(frozen=True)
class ZeroShot:
    """Zero-shot accuracy on labelled images.

    Attributes:
        classes: How many labels there are.
        top_1: Share of images with a right label in the first place.
        top_5: Share of images with a right label among the first five.
        mean_per_class: Mean of the classes' top-1 accuracies.
    """

    classes: int
    top_1: float
    top_5: float
    mean_per_class: float


@dataclass(frozen=True)
class LabelRetrieval:
    """Means over the classes, each a query for its images."""

    mean_average_precision: float
    precision_at_10: float


@dataclass(frozen=True)
class CaptionRetrieval:
    """Retrieval in one direction, from captions to images or from images to captions."""

    queries: int
    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    median_rank: float
    mean_average_precision: float


@dataclass(frozen=True)
class Evaluation:
    """The metrics of one model; None where the data has no labels, or no captions."""

    model: str
    images: int
    failed: int
    zero_shot: ZeroShot | None
    label_retrieval: LabelRetrieval | None
    text_to_image: CaptionRetrieval | None
    image_to_text: CaptionRetrieval | None

    def to_json(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        return asdict(self)


def embed_dataset(
    truth: GroundTruth,
    encoder: Encoder,
    *,
    stored: Lookup | None = None,
    workers: int | None = None,
    limits: Limits | None = None,
) -> EmbeddedDataset:
    """Embed the images of a dataset.

    Args:
        truth: The images and what is known about them.
        encoder: The encoder.
        stored: The vectors of a collection by the encoder's model, used for the images that it
            holds.
        workers: How many images are decoded at once.
        limits: The largest file and image to read.

    Raises:
        GroundTruthError: None of the images can be read.
    """
    tasks, skipped = [], []
    for path in truth:
        try:
            tasks.append(task_of(path))
        except OSError as exc:
            skipped.append((path, f"cannot be read: {exc.strerror or exc}"))
    rows: dict[bytes, int] = {}
    vectors: list[Embeddings] = []
    result = EmbeddedDataset(np.empty((0, encoder.dim), np.float32), [], [], skipped)
    for file in embed_files(tasks, encoder, list, stored=stored, workers=workers, limits=limits):
        if file.value is None:
            skipped.append((file.path, file.reason or ""))
            continue
        if file.digest not in rows:
            rows[file.digest] = len(rows)
            vectors.append(file.value)
            result.labels.append([])
            result.captions.append([])
            result.paths.append(file.path)
            result.digests.append(file.digest)
        row, known = rows[file.digest], truth[file.path]
        result.labels[row] += [one for one in known.labels if one not in result.labels[row]]
        result.captions[row] += known.captions
    if not vectors:
        raise GroundTruthError(
            f"none of the {len(truth):,} images can be read; the first: "
            f"{skipped[0][0].decode('utf-8', 'replace')}: {skipped[0][1]}"
        )
    result.vectors = np.stack(vectors)
    return result


def evaluate(
    data: EmbeddedDataset, encoder: Encoder, *, name: str, templates: Sequence[str] = ()
) -> Evaluation:
    """Compute all metrics that the data allows.

    Args:
        data: The images.
        encoder: The model to measure, which encoded the images.
        name: The model's name.
        templates: Captions with `{}` in place of a label, as for `class_vectors`.
    """
    zero_shot = label_retrieval = text_to_image = image_to_text = None
    labelled = [row for row, labels in enumerate(data.labels) if labels]
    if labelled:
        zero_shot, label_retrieval = _by_labels(
            data.vectors[labelled],
            [data.labels[row] for row in labelled],
            encoder,
            templates or DEFAULT_TEMPLATES,
        )
    captioned = [row for row, captions in enumerate(data.captions) if captions]
    if captioned:
        texts = [text for row in captioned for text in data.captions[row]]
        owner = np.repeat(np.arange(len(captioned)), [len(data.captions[row]) for row in captioned])
        captions, images = encoder.encode_texts(texts), data.vectors[captioned]
        numbers = np.arange(len(images))
        text_to_image = _retrieval(
            captions, images, lambda start, stop: owner[start:stop, np.newaxis] == numbers
        )
        image_to_text = _retrieval(
            images, captions, lambda start, stop: numbers[start:stop, np.newaxis] == owner
        )
    return Evaluation(
        name,
        len(data.vectors),
        len(data.skipped),
        zero_shot,
        label_retrieval,
        text_to_image,
        image_to_text,
    )


def _by_labels(
    vectors: Embeddings, labels: list[list[str]], encoder: Encoder, templates: Sequence[str]
) -> tuple[ZeroShot, LabelRetrieval]:
    names = sorted({label for own in labels for label in own})
    columns = {name: column for column, name in enumerate(names)}
    relevant = np.zeros((len(vectors), len(names)), dtype=bool)
    for row, own in enumerate(labels):
        relevant[row, [columns[label] for label in own]] = True
    classes = class_vectors(encoder, names, templates)
    ranks = np.concatenate(
        [
            first_ranks(vectors[block] @ classes.T, relevant[block])
            for block in _blocks(len(vectors))
        ]
    )
    zero_shot = ZeroShot(
        len(names), recall_at(ranks, 1), recall_at(ranks, 5), mean_per_class(ranks == 1, relevant)
    )
    precisions, tops = [], []
    for block in _blocks(len(names)):
        scores = classes[block] @ vectors.T
        precisions.append(average_precisions(scores, relevant.T[block]))
        tops.append(precisions_at(scores, relevant.T[block], 10))
    return zero_shot, LabelRetrieval(
        float(np.concatenate(precisions).mean()), float(np.concatenate(tops).mean())
    )


def _retrieval(
    queries: Embeddings,
    items: Embeddings,
    relevant: Callable[[int, int], NDArray[np.bool_]],
) -> CaptionRetrieval:
    """Measure retrieval.

    Args:
        queries: `(queries, dim)`.
        items: `(items, dim)`.
        relevant: Returns which items `(stop - start, items)` belong to the queries from start to
            stop.
    """
    ranks, precisions = [], []
    for block in _blocks(len(queries)):
        scores, right = queries[block] @ items.T, relevant(block.start, block.stop)
        ranks.append(first_ranks(scores, right))
        precisions.append(average_precisions(scores, right))
    all_ranks = np.concatenate(ranks)
    return CaptionRetrieval(
        len(queries),
        recall_at(all_ranks, 1),
        recall_at(all_ranks, 5),
        recall_at(all_ranks, 10),
        float(np.median(all_ranks)),
        float(np.concatenate(precisions).mean()),
    )


def _blocks(count: int) -> Iterator[slice]:
    for start in range(0, count, BLOCK):
        yield slice(start, min(start + BLOCK, count))
