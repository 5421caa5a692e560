"""Labels for images of a collection or of a request, and how many images show each."""

from collections.abc import Callable, Sequence

import numpy as np

from indexer.encoder import Embeddings, Encoder
from indexer.errors import FingerprintMismatch
from indexer.store.records import Model
from search import Engine
from search.labels.artifact import names
from search.labels.heads import find_head, heads_folder
from search.labels.zero_shot import Answer, Labels
from search.ranking.ranking import Options
from serving.errors import Problem

from .search import Answering

Chosen = Callable[[Encoder, Model], Labels]


def own_head(answering: Answering, name: str, model: Model) -> Labels:
    """A head of the collection. Raises Problem (404) for none of that name, 409 for another
    model's.
    """
    folder = answering.engines.collection.folder
    if name not in names(heads_folder(folder)):
        raise Problem(404, f"no head is called {name}")
    head = find_head(folder, name)
    try:
        head.artifact.require(model.fingerprint, model.name)
    except FingerprintMismatch as exc:
        raise Problem(409, str(exc)) from exc
    return head


async def label_image(answering: Answering, data: bytes, chosen: Chosen, top: int) -> Answer:
    """An image that came with the request."""
    vectors = await answering.encode_images([data])
    ready = await answering.ready()
    return await answering.with_images(
        lambda: chosen(ready.encoder, ready.model).best(vectors, top)[0]
    )


async def label_stored(
    answering: Answering, numbers: Sequence[int], chosen: Chosen, top: int
) -> list[Answer]:
    """Images of the collection, by id. Raises Problem (404) for an unknown one."""

    def label(engine: Engine) -> list[Answer]:
        with engine.question():
            found = engine.catalog.embeddings_of(engine.model.fingerprint, list(numbers))
            for number in numbers:
                if number not in found:
                    raise Problem(404, f"no image has the id {number}")
            vectors: Embeddings = np.stack([found[number] for number in numbers])
            return chosen(engine.encoder, engine.model).best(vectors, top)

    return await answering.engines.ask(label)


async def count_labels(
    answering: Answering, labels: Sequence[str], probability: float, options: Options
) -> list[int]:
    """How many of the images that pass the filters show each label with more than this."""

    def count(engine: Engine) -> list[int]:
        with engine.question():
            chosen = options.get("filter")
            passing = chosen.ids(engine.catalog) if chosen else None
            counts = []
            for label in labels:
                showing = engine.images_with_label(label, probability)
                if passing is not None:
                    showing = np.intersect1d(showing, passing)
                counts.append(len(showing))
            return counts

    return await answering.engines.ask(count)
