"""Labels for images of a collection or of a request, and how many images show each."""

from collections.abc import Callable, Sequence

import numpy as np

from indexer.encoder import Encoder
from indexer.errors import CollectionNotFound
from indexer.store.records import Model
from search import Engine, Filter
from search.labels.answer import Answer
from search.labels.artifact import names
from search.labels.heads import find_head, heads_folder
from search.labels.zero_shot import Labeller, Labels
from search.ranking.relevance import Estimator
from serving.schemas.requests import LabelBody
from serving.schemas.responses import LabelAnswer, LabelledImage, LabelShare

from .errors import NotFound
from .search import SearchService

MakeLabels = Callable[[Encoder, Model, Estimator | None], Labels]


async def label(service: SearchService, body: LabelBody) -> LabelAnswer:
    """Label the image of a request, or images of the collection.

    Raises:
        NotFound: There is no head of this name.
        ImageNotFound: No image has one of the ids.
        FingerprintMismatch: The head was trained on another model's vectors.
        ImageError: The image cannot be read.
        Busy: Too many requests wait.
    """

    def labels(encoder: Encoder, model: Model, estimator: Estimator | None) -> Labels:
        if body.head is None:
            return Labeller(encoder, body.labels, body.templates, estimator)
        return _own_head(service, body.head, model)

    ids: list[int | None]
    if body.image is not None:
        ids = [None]
        answers = [await _label_upload(service, body.image, labels, body.top)]
    else:
        ids = list(body.image_ids)
        answers = await _label_stored(service, body.image_ids, labels, body.top)
    return LabelAnswer(
        images=[
            LabelledImage(
                id=number,
                labels=[
                    LabelShare(
                        label=one.label,
                        probability=round(one.probability, 6),
                        relevance=one.relevance,
                    )
                    for one in best
                ],
                none=none,
            )
            for number, (best, none) in zip(ids, answers, strict=True)
        ]
    )


async def count_labels(
    service: SearchService, labels: Sequence[str], min_probability: float, chosen: Filter | None
) -> list[int]:
    """Count the images that show each label.

    Args:
        service: The search service.
        labels: What to count.
        min_probability: Probability above which an image counts.
        chosen: Which images may count.

    Returns:
        The counts, in the order of the labels; zeros when nothing is indexed yet.

    Raises:
        QueryError: The filter names a folder that holds no image.
        Busy: Too many requests wait.
    """

    def count(engine: Engine) -> list[int]:
        with engine.question():
            passing = chosen.ids(engine.catalog) if chosen else None
            hidden = engine.hidden(chosen)
            counts = []
            for name in labels:
                matching = np.setdiff1d(engine.images_with_label(name, min_probability), hidden)
                if passing is not None:
                    matching = np.intersect1d(matching, passing)
                counts.append(len(matching))
            return counts

    try:
        return await service.engines.run(count)
    except CollectionNotFound:
        return [0] * len(labels)


def _own_head(service: SearchService, name: str, model: Model) -> Labels:
    folder = service.engines.collection.folder
    if name not in names(heads_folder(folder)):
        raise NotFound(f"no such head: {name}")
    head = find_head(folder, name)
    head.artifact.require(model.fingerprint, model.name)
    return head


async def _label_upload(service: SearchService, data: bytes, make: MakeLabels, top: int) -> Answer:
    vectors = await service.encode_images([data])
    ready = await service.ready()
    estimator = await service.engines.run(lambda engine: engine.estimator)
    return await service.run_with_images(
        lambda: make(ready.encoder, ready.model, estimator).best(vectors, top)[0]
    )


async def _label_stored(
    service: SearchService, numbers: Sequence[int], make: MakeLabels, top: int
) -> list[Answer]:
    def label(engine: Engine) -> list[Answer]:
        with engine.question():
            vectors = engine.vectors_of(numbers)
            return make(engine.encoder, engine.model, engine.estimator).best(vectors, top)

    return await service.engines.run(label)
