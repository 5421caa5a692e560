"""Several images at once, as a zip."""

from typing import Annotated, Any

from fastapi import Query
from fastapi.responses import StreamingResponse

from serving.authentication import protected_router
from serving.schemas import requests
from serving.service import ServiceDep

router = protected_router("images", only_asks=True)

ZIP: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/zip": {}}, "description": "A zip of the images."}
}


@router.get(
    "/v1/download",
    summary="Images as a zip, each as its `file` is",
    response_class=StreamingResponse,
    responses=ZIP,
)
async def download(
    service: ServiceDep, query: Annotated[requests.DownloadQuery, Query()]
) -> StreamingResponse:
    """Return the images that a URL names."""
    return await service.archives.zip(query.image_ids)


@router.post(
    "/v1/download",
    summary="Images as a zip, where they are too many for a URL",
    response_class=StreamingResponse,
    responses=ZIP,
)
async def download_many(service: ServiceDep, body: requests.DownloadBody) -> StreamingResponse:
    """Return the images that a body names."""
    return await service.archives.zip(body.image_ids)
