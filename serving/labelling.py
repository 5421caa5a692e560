"""Labels for pictures of a collection or of a request, and how many pictures show each."""

from collections.abc import Sequence

import numpy as np

from indexer.encoder import Embeddings
from search import Engine
from search.labels import Answer, Labeller
from search.ranking import Options

from .answering import Answering
from .problems import Problem


async def label_picture(
    answering: Answering, data: bytes, labels: Sequence[str], templates: Sequence[str], top: int
) -> Answer:
    """A picture that came with the request."""
    vectors = await answering.encode_pictures([data])
    encoder = (await answering.ready()).encoder
    return await answering.with_pictures(
        lambda: Labeller(encoder, labels, templates).best(vectors, top)[0]
    )


async def label_stored(
    answering: Answering,
    numbers: Sequence[int],
    labels: Sequence[str],
    templates: Sequence[str],
    top: int,
) -> list[Answer]:
    """Pictures of the collection, by id. Raises Problem (404) for an unknown one."""

    def label(engine: Engine) -> list[Answer]:
        with engine.question():
            found = engine.catalogue.embeddings_of(engine.model.fingerprint, list(numbers))
            for number in numbers:
                if number not in found:
                    raise Problem(404, f"no picture has the id {number}")
            vectors: Embeddings = np.stack([found[number] for number in numbers])
            return Labeller(engine.encoder, labels, templates).best(vectors, top)

    return await answering.engines.ask(label)


async def count_labels(
    answering: Answering, labels: Sequence[str], probability: float, options: Options
) -> list[int]:
    """How many of the pictures that pass the filters show each label with more than this."""

    def count(engine: Engine) -> list[int]:
        with engine.question():
            chosen = options.get("filter")
            passing = chosen.ids(engine.catalogue) if chosen else None
            counts = []
            for label in labels:
                showing = engine.showing(label, probability)
                if passing is not None:
                    showing = np.intersect1d(showing, passing)
                counts.append(len(showing))
            return counts

    return await answering.engines.ask(count)
