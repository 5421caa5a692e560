"""Images that look alike."""

from typing import Annotated

from fastapi import Query

from serving.authentication import protected_router
from serving.schemas import requests, responses
from serving.service import ServiceDep

router = protected_router("images")


@router.get("/v1/duplicates", summary="Groups of images that look alike")
async def duplicates(
    service: ServiceDep, query: Annotated[requests.DuplicatesQuery, Query()]
) -> responses.DuplicatesAnswer:
    """Return groups, those of larger images first."""
    groups, total = await service.duplicates.groups(query.offset, query.k)
    found = [path for group in groups for copy in group for path in copy.hit.raw_paths]
    paths = await service.search.path_view(found)
    root_path = service.settings.root_path
    return responses.DuplicatesAnswer(
        total=total,
        groups=[
            responses.DuplicateGroup(
                images=[
                    responses.DuplicateImage.of_copy(copy.hit, copy.size, paths, root_path)
                    for copy in group
                ]
            )
            for group in groups
        ],
    )
