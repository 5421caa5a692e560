"""Tags: labels that users give to images."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query

from search.labels.tagging import TagChange
from serving.authentication import protected_router
from serving.schemas import requests, responses
from serving.service import ServiceDep

router = protected_router("tags")


@router.get("/v1/tags", summary="The tags of the collection, and how many images have each")
async def tags(
    service: ServiceDep, query: Annotated[requests.TagsQuery, Query()]
) -> responses.TagsAnswer:
    """Return the tags that begin with a prefix."""
    found = await service.tags.counts(query.prefix)
    return responses.TagsAnswer(
        total=len(found),
        tags=[responses.TagCount(tag=tag, count=count) for tag, count in found[: query.k]],
    )


@router.post("/v1/images/tags", summary="Add tags to images, and take tags from them")
async def change(service: ServiceDep, body: requests.TagsBody) -> responses.TagChangesAnswer:
    """Change the tags of all these images, or of none."""
    changes = await service.tags.change(body.image_ids, body.add, body.remove)
    return responses.TagChangesAnswer(changes=_alike(changes))


def _alike(changes: Sequence[TagChange]) -> list[responses.TagChange]:
    """Return the changes with those images together that were changed alike."""
    groups: dict[tuple[tuple[str, ...], tuple[str, ...]], list[int]] = {}
    for one in changes:
        groups.setdefault((one.added, one.removed), []).append(one.content)
    return [
        responses.TagChange(image_ids=numbers, added=list(added), removed=list(removed))
        for (added, removed), numbers in groups.items()
    ]
