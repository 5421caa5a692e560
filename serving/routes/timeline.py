"""How the images spread over time."""

from typing import Annotated

from fastapi import Query

from indexer.errors import QueryError
from search.query_text import parse
from search.request import parse_label_threshold
from serving.authentication import protected_router
from serving.schemas import requests, responses
from serving.service import ServiceDep
from serving.services.search_request import filter_of
from serving.services.timeline import timeline as months_of

router = protected_router("search")


@router.get("/v1/timeline", summary="How many images are of each month, newest first")
async def timeline(
    service: ServiceDep, query: Annotated[requests.TimelineQuery, Query()]
) -> responses.TimelineAnswer:
    """Return the months with images."""
    chosen = filter_of(query, absolute=service.settings.expose_paths)
    if query.q is not None:
        said = parse(query.q)
        if said.text or said.without:
            raise QueryError("q: a timeline takes conditions, such as in:Italy, and no other words")
        chosen = said.narrow(chosen)
    labels = [parse_label_threshold(label) for label in query.label]
    found = await months_of(service.search, chosen, labels)
    months = [responses.TimelineMonth.model_validate(month) for month in found]
    return responses.TimelineAnswer(total=sum(month.count for month in months), months=months)
