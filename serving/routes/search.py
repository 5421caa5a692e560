"""Searches by text, image, or both."""

import time
from typing import Annotated, Any

from fastapi import File, Query, Response, UploadFile

from indexer.images.thumbnails import webp
from search.hints import ask_in_english
from search.hits import Results
from serving.authentication import protected_router
from serving.schemas import requests, responses
from serving.service import Service, ServiceDep
from serving.services.search_request import echo, request_of_body, request_of_query

router = protected_router("search", only_asks=True)


@router.get("/v1/search", summary="Search by text; the newest images without one")
async def search(
    service: ServiceDep, query: Annotated[requests.SearchQuery, Query()]
) -> responses.SearchAnswer:
    """Search with query parameters."""
    began = time.perf_counter()
    request = request_of_query(query, absolute=service.settings.expose_paths)
    # A text that says no more than conditions asks for nothing.
    asks = request.text if query.names else query.q is not None
    if not (asks or request.without):
        results = await service.search.newest(request)
        return await answer(service, echo(query), results, began, scored=False)
    results = await service.search.search(request)
    return await answer(service, echo(query), results, began)


@router.post("/v1/search", summary="Search by text, image, or both")
async def search_json(service: ServiceDep, body: requests.SearchBody) -> responses.SearchAnswer:
    """Search with a JSON body."""
    began = time.perf_counter()
    request = request_of_body(body, absolute=service.settings.expose_paths)
    if request.lists:
        results = await service.search.newest(request)
        return await answer(service, echo(body), results, began, scored=False)
    results = await service.search.search(request)
    return await answer(service, echo(body), results, began)


@router.post("/v1/search/image", summary="Search by an uploaded image")
async def search_image(
    service: ServiceDep,
    query: Annotated[requests.SearchQuery, Query()],
    file: Annotated[UploadFile, File(description="An image.")],
) -> responses.SearchAnswer:
    """Search with an upload and query parameters."""
    began = time.perf_counter()
    images = [await file.read()]
    request = request_of_query(query, images, absolute=service.settings.expose_paths)
    results = await service.search.search(request)
    return await answer(service, echo(query), results, began)


@router.post(
    "/v1/thumbnail",
    summary="An uploaded image, small: for formats that browsers do not show",
    response_class=Response,
    responses={200: {"content": {"image/webp": {"schema": {"type": "string"}}}}},
)
async def thumbnail(
    service: ServiceDep,
    file: Annotated[UploadFile, File(description="An image.")],
    size: requests.ThumbnailSize = 320,
) -> Response:
    """Return a WebP of an upload, which is not kept."""
    data = await file.read()
    limits = service.settings.limits
    small = await service.search.run_with_images(lambda: webp(data, size, limits))
    return Response(small, media_type="image/webp")


@router.get("/v1/suggestions", summary="What a text that is being typed may go on with")
async def suggestions(
    service: ServiceDep, query: Annotated[requests.SuggestionsQuery, Query()]
) -> responses.SuggestionsAnswer:
    """Return conditions, and the folders, tags and cameras that begin so."""
    found = await service.suggestions.suggest(query.q, query.k)
    return responses.SuggestionsAnswer.model_validate({"suggestions": found})


async def answer(
    service: Service,
    query: dict[str, Any],
    results: Results,
    began: float,
    *,
    scored: bool = True,
) -> responses.SearchAnswer:
    """Return hits as clients see them.

    Args:
        service: The server's service.
        query: The fields that were sent.
        results: The hits, and how many images there are.
        began: `time.perf_counter()` when the request arrived.
        scored: Whether something was searched for.
    """
    foreign = results.foreign_language
    paths = await service.search.path_view([path for hit in results.hits for path in hit.raw_paths])
    return responses.SearchAnswer(
        query=query,
        total=results.total,
        total_matches=results.total_matches,
        total_named=results.total_named,
        notice=ask_in_english(foreign) if foreign and service.settings.hints else None,
        hits=[
            responses.HitAnswer.of(hit, paths, root_path=service.settings.root_path, scored=scored)
            for hit in results.hits
        ],
        took_ms=round((time.perf_counter() - began) * 1000, 2),
    )
