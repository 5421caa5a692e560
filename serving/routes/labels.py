"""Labels of images, and how many images show each."""

from serving.authentication import protected_router
from serving.schemas import requests, responses
from serving.service import ServiceDep
from serving.services import labels
from serving.services.search_request import filter_of

router = protected_router("labels", only_asks=True)


@router.post("/v1/label", summary="Which of these labels fits an image best")
async def label(service: ServiceDep, body: requests.LabelBody) -> responses.LabelAnswer:
    """Label an uploaded image, or images of the collection."""
    return await labels.label(service.search, body)


@router.post("/v1/labels/count", summary="How many images show each of these labels")
async def count(service: ServiceDep, body: requests.LabelCountBody) -> responses.LabelCountAnswer:
    """Count images by label."""
    chosen = filter_of(body.filter, absolute=service.settings.expose_paths)
    found = await labels.count_labels(service.search, body.labels, body.min_probability, chosen)
    return responses.LabelCountAnswer(
        counts=[
            responses.LabelCount(label=name, count=number)
            for name, number in zip(body.labels, found, strict=True)
        ]
    )
