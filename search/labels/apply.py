"""Labels the files of a collection, of folders, or of a list."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexer.encoder import Embeddings, Encoder, name_of, require_unit
from indexer.images.decode import Limits
from indexer.pipeline.embed_files import embed_files, tasks_of
from indexer.store.lookup import Lookup
from indexer.store.paths import existing, path_fields

from .answer import Answer, LabelScore
from .zero_shot import Labels

if TYPE_CHECKING:  # the engine stands above
    from search.engine import Engine


@dataclass(frozen=True)
class Labelled:
    """A file and its best labels, or the reason why it has none.

    Attributes:
        path: Of the file, as raw bytes.
        labels: Its best labels, best first.
        none: The probability that no label fits; None if the model has no estimate.
        reason: Why the file could not be read.
    """

    path: bytes
    labels: tuple[LabelScore, ...] = ()
    none: float | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        return {
            **path_fields(self.path),
            "labels": [
                {
                    "label": one.label,
                    "probability": round(one.probability, 6),
                    "relevance": one.relevance,
                }
                for one in self.labels
            ],
            "none": self.none,
        }


def label_collection(engine: "Engine", labeller: Labels, *, top: int) -> Iterator[Labelled]:
    """Label every file of a collection from its stored vectors.

    Args:
        engine: The collection.
        labeller: A set of labels, or a head, of the collection's model.
        top: How many labels each file gets.
    """
    catalog, fingerprint = engine.catalog, engine.model.fingerprint
    for ids, vectors in catalog.embeddings(fingerprint):
        contents = catalog.contents(ids.tolist())
        for number, answer in zip(ids.tolist(), labeller.best(vectors, top), strict=True):
            if number in contents:
                paths = contents[number].paths
                for at in existing(paths):
                    yield Labelled(paths[at], *answer)


def label_files(
    paths: Iterable[Path | str],
    labeller: Labels,
    encoder: Encoder,
    *,
    top: int,
    engine: "Engine | None" = None,
    workers: int | None = None,
    limits: Limits | None = None,
) -> Iterator[Labelled]:
    """Label files and all images in folders, without storing anything.

    Args:
        paths: Files and folders.
        labeller: A set of labels, or a head.
        encoder: The encoder of the labeller's model.
        top: How many labels each file gets.
        engine: A collection of that model, whose vectors are used for the images that it holds;
            the others are encoded now.
        workers: How many images are decoded at once.
        limits: The largest file and image to read.

    Raises:
        RootUnavailable: One of the paths does not exist.
    """

    def answers(vectors: Embeddings) -> list[Answer]:
        checked = require_unit(vectors, len(vectors), encoder.dim, name_of(encoder))
        return labeller.best(checked, top)

    tasks, unreadable = tasks_of(paths)
    with ExitStack() as stack:
        stored = (
            None
            if engine is None
            else stack.enter_context(Lookup(engine.collection, engine.model.fingerprint))
        )
        for file in embed_files(
            tasks,
            encoder,
            answers,
            stored=stored,
            workers=workers,
            limits=limits,
        ):
            labels, none = file.value or ((), None)
            yield Labelled(file.path, labels, none, file.reason)
    for location, reason in unreadable:
        yield Labelled(location, reason=reason)
