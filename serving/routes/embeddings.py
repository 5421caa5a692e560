"""Vectors, as OpenAI's clients ask for them."""

from serving.authentication import protected_router
from serving.schemas import requests, responses
from serving.service import ServiceDep
from serving.services.embeddings import embed

router = protected_router("embeddings", only_asks=True)


@router.post("/v1/embeddings", summary="Vectors of texts and images, as OpenAI's clients ask")
async def embeddings(
    service: ServiceDep, body: requests.EmbeddingsBody
) -> responses.EmbeddingsAnswer:
    """Encode texts and images."""
    return await embed(service.search, body)
