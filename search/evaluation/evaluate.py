"""How well a model finds and names a user's own images."""

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

# Rows of a score matrix that are held at once.
BLOCK = 256


@dataclass
class Annotated:
    """The images that could be read, one row each different content.

    vectors: `(n, dim)`. labels, captions: of each row, from all files that hold the content.
    paths, digests: of each row, the first file and its content's hash. skipped: (path, reason) of
    files that could not be read.
    """

    vectors: Embeddings
    labels: list[list[str]]
    captions: list[list[str]]
    skipped: list[tuple[bytes, str]] = field(default_factory=list)
    paths: list[bytes] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)


@dataclass(frozen=True)
class ZeroShot:
    """Shares of labelled images whose label comes first, or among the first five.

    mean_per_class: top-1, classes counting alike however many images they have.
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
    """Of queries in one direction, between captions and images."""

    queries: int
    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    median_rank: float
    mean_average_precision: float


@dataclass(frozen=True)
class Evaluation:
    """Figures of one model; None where the data have no labels, or no captions."""

    model: str
    images: int
    failed: int
    zero_shot: ZeroShot | None
    label_retrieval: LabelRetrieval | None
    text_to_image: CaptionRetrieval | None
    image_to_text: CaptionRetrieval | None

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return asdict(self)


def annotate(
    truth: GroundTruth,
    encoder: Encoder,
    *,
    stored: Lookup | None = None,
    workers: int | None = None,
    limits: Limits | None = None,
) -> Annotated:
    """The vectors of the images of `truth`: stored ones where there are, else encoded now.

    Raises GroundTruthError where none of the images can be read.
    """
    tasks, skipped = [], []
    for path in truth:
        try:
            tasks.append(task_of(path))
        except OSError as exc:
            skipped.append((path, f"cannot be read: {exc.strerror or exc}"))
    rows: dict[bytes, int] = {}
    vectors: list[Embeddings] = []
    result = Annotated(np.empty((0, encoder.dim), np.float32), [], [], skipped)
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
    data: Annotated, encoder: Encoder, *, name: str, templates: Sequence[str] = ()
) -> Evaluation:
    """All figures that the data allow. templates: of labels, as in `class_vectors`."""
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
    """relevant: which items `(stop - start, items)` belong to the queries from start to stop."""
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
