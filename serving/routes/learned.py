"""What the collection has learnt: heads, concepts and text classifiers."""

from typing import Annotated

from fastapi import Path, Response

from serving.authentication import protected_router
from serving.schemas import requests, responses
from serving.service import ServiceDep

from .jobs import started

router = protected_router("learning")

Name = Annotated[str, Path(max_length=64)]


@router.get("/v1/learned", summary="Heads, concepts and text classifiers of the collection")
async def learned(service: ServiceDep) -> responses.LearnedListAnswer:
    """Return those that can be read."""
    return responses.LearnedListAnswer(learned=await service.learning.all())


@router.post("/v1/concepts", summary="Make a word of what images show")
async def concept(service: ServiceDep, body: requests.ConceptBody) -> responses.LearnedAnswer:
    """Learn a concept, in place of one of the same name."""
    return await service.learning.learn_concept(body.name, body.image_ids, body.unlike_ids)


@router.post("/v1/heads", summary="Learn a head from the tags of the collection", status_code=202)
async def head(
    service: ServiceDep, body: requests.HeadBody, response: Response
) -> responses.JobAnswer:
    """Start a job."""
    return await started(service, response, service.jobs.train, body.name)


@router.delete("/v1/learned/{name}", summary="Delete a head, concept or text classifier")
async def remove(service: ServiceDep, name: Name) -> responses.LearnedListAnswer:
    """Delete what has this name, and return what is left."""
    await service.learning.remove(name)
    return responses.LearnedListAnswer(learned=await service.learning.all())
