"""The status of a collection: what it holds."""

from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from indexer.errors import ClipdexError
from indexer.store.catalog import open_reader
from indexer.store.collection import Collection, locate
from indexer.store.paths import display
from indexer.store.protocol import StoreReader
from indexer.store.records import Model


@dataclass(frozen=True)
class Status:
    """What a collection holds.

    Attributes:
        collection: The collection's folder, or its URL without a password.
        images: How many files.
        contents: How many different images.
        failed: How many files could not be read.
        model: The name of the model that answers searches.
        fingerprint: Of that model.
        dim: Length of that model's vectors.
        index: The index's kind and recall.
        roots: The indexed folders.
        models: Those that the collection holds vectors of, with their `state` ("active": answers
            searches; "pending": being filled in; "former") and number of `vectors`.
        excluded: What index runs leave out: `pattern`, the folder `base` that it is counted from
            (empty for every root), and `origin`: "exclude" or "forget".
        kept_labels: How many labels the user gave to images that are not in the collection now.
        notes: How many images are not as usual, by what is said of them, such as "partly readable".
    """

    collection: str
    images: int
    contents: int
    failed: int
    model: str
    fingerprint: str
    dim: int
    index: dict[str, Any]
    roots: list[str]
    models: list[dict[str, Any]]
    excluded: list[dict[str, str]]
    kept_labels: int
    notes: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, collection: Collection, catalog: StoreReader, model: Model) -> Self:
        """Return the current status; `model` is the one that answers searches."""
        images, contents, failed = catalog.counts()
        return cls(
            collection=collection.shown,
            images=images,
            contents=contents,
            failed=failed,
            model=model.name,
            fingerprint=model.fingerprint,
            dim=model.dim,
            index=_index(catalog, model),
            roots=[display(root) for root in catalog.roots().values()],
            models=[
                {"name": known.name, "fingerprint": known.fingerprint, "dim": known.dim}
                | {"state": state, "vectors": vectors}
                for known, state, vectors in catalog.models()
            ],
            excluded=[
                {
                    "pattern": display(rule.pattern),
                    "base": display(rule.base),
                    "origin": rule.origin,
                }
                for rule in catalog.exclusions()
            ],
            kept_labels=catalog.count_kept_labels(),
            notes=_kinds(catalog.notes()),
        )


def _index(catalog: StoreReader, model: Model) -> dict[str, Any]:
    """Return the index's kind and what it finds of the ten best images."""
    own = catalog.own_index(model.fingerprint)
    if own is not None:
        shares = {"text_recall": own.text_recall, "image_recall": own.image_recall}
        found = {"kind": own.kind, "recall_at_10": min(shares.values())}
        return found if own.kind == "flat" else found | shares
    codes = catalog.codes_file(model.fingerprint)
    files = catalog.vector_files(model.fingerprint)
    if codes is None or not files or codes.generation != files[0].generation:
        # A flat index compares with every vector, so it misses none.
        return {"kind": "flat", "recall_at_10": 1.0}
    recalls = {"text_recall": codes.text_recall, "image_recall": codes.image_recall}
    return {"kind": "approximate", "recall_at_10": min(recalls.values()), **recalls}


def image_count(collection: Path | str | None) -> int:
    """Return how many images a collection has; 0 where there is none that can be read."""
    try:
        with closing(open_reader(locate(collection))) as catalog:
            return catalog.image_count()
    except ClipdexError:
        return 0


def _kinds(notes: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return how many images have each kind of note: what stands before a note's colon."""
    counts: Counter[str] = Counter()
    for joined, count in notes:
        for note in joined.split("; "):
            counts[note.partition(":")[0]] += count
    return dict(sorted(counts.items(), key=lambda kind: (-kind[1], kind[0])))
