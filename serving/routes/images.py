"""Images of the collection: metadata, thumbnail, file, and others like one."""

import time
from typing import Annotated

from fastapi import Header, Path, Query, Request, Response

from serving.authentication import protected_router, right_of
from serving.credentials import Right
from serving.schemas import requests, responses
from serving.service import ServiceDep
from serving.services.images import image_details
from serving.services.search_request import echo, request_of_body

from .search import answer

router = protected_router("images")

ImageId = Annotated[int, Path(alias="id", ge=1, le=requests.MAX_ID)]
IfNoneMatch = Annotated[str | None, Header()]
Version = Annotated[
    str | None,
    Query(
        alias="v",
        max_length=64,
        description="The content that is meant, as `thumbnail` and `file` of a hit name it: the "
        "answer may be kept for ever then. Without it, or where the id has another content by "
        "now, clients have to ask again.",
    ),
]


@router.get("/v1/images/{id}", summary="An image's metadata")
async def image(service: ServiceDep, number: ImageId, request: Request) -> responses.ImageAnswer:
    """Return what is known about an image."""
    details = await image_details(service.search, number)
    # Files lose their metadata on the way to clients, and this is some of it.
    told = service.settings.originals or await right_of(request) >= Right.WRITE
    facts = await service.images.facts(number) if told else None
    hit = details.hit
    paths = await service.search.path_view(hit.raw_paths)
    return responses.ImageAnswer(
        id=number,
        **paths.fields(hit.raw_paths[0]),
        paths=[paths.text(path) for path in hit.raw_paths],
        width=hit.width,
        height=hit.height,
        format=details.format,
        taken_at=hit.taken_at,
        dated_by=hit.dated_by,
        size_bytes=details.size,
        tags=details.tags,
        facts=responses.FileFacts.model_validate(facts) if facts else None,
        **responses.links(number, hit.digest, service.settings.root_path),
    )


@router.get(
    "/v1/images/{id}/thumbnail",
    summary="A small WebP of an image",
    response_class=Response,
    responses={200: {"content": {"image/webp": {}}}, 304: {"description": "Not modified."}},
)
async def thumbnail(
    service: ServiceDep,
    number: ImageId,
    size: requests.ThumbnailSize = 320,
    if_none_match: IfNoneMatch = None,
    version: Version = None,
) -> Response:
    """Return a thumbnail."""
    return await service.images.thumbnail(number, size, if_none_match, version)


@router.get(
    "/v1/images/{id}/file",
    summary="An image's file, without its metadata",
    response_class=Response,
    responses={200: {"content": {"image/*": {}}}, 304: {"description": "Not modified."}},
)
async def file(
    service: ServiceDep,
    number: ImageId,
    if_none_match: IfNoneMatch = None,
    version: Version = None,
) -> Response:
    """Return the file."""
    return await service.images.file(number, if_none_match, version)


@router.get("/v1/images/{id}/similar", summary="The images most like one")
async def similar(
    service: ServiceDep, number: ImageId, k: requests.Count = 20, offset: requests.Offset = 0
) -> responses.SearchAnswer:
    """Search by an image of the collection."""
    began = time.perf_counter()
    body = requests.SearchBody(image_id=number, k=k, offset=offset)
    results = await service.search.search(request_of_body(body))
    return await answer(service, echo(body), results, began)
