"""Labels of texts."""

from indexer.errors import CollectionNotFound
from serving.authentication import protected_router
from serving.schemas import requests, responses
from serving.service import ServiceDep

router = protected_router("texts", only_asks=True)


@router.post("/v1/classify-text", summary="Which labels a text classifier gives to texts")
async def classify_text(
    service: ServiceDep, body: requests.ClassifyTextBody
) -> responses.ClassifyTextAnswer:
    """Classify texts with what `clipdex adapt text` learned."""
    try:
        known = (await service.search.ready()).encoder
    except CollectionNotFound:  # a classifier needs no images
        known = None
    answers = await service.texts.classify(body.name, body.texts, body.top, known)
    return responses.ClassifyTextAnswer.of(answers)
