"""The route that `clipdex search` uses on the machine of the server; not part of the API."""

from typing import Any

from fastapi import APIRouter, Request

from indexer.errors import QueryError
from search.client import PATH, wire
from search.filters.filter import Filter
from search.labels.label_filter import parse_label_threshold
from search.ranking.query import Query
from search.ranking.ranking import Options
from serving.errors import Problem
from serving.service import ServiceDep
from serving.services.search import Asked

router = APIRouter()


@router.post(PATH, include_in_schema=False)
async def search(service: ServiceDep, request: Request) -> list[dict[str, Any]]:
    """What `search.remote.question` asks; only for who has read the server's secret."""
    if not request.scope["state"].get("local"):
        raise Problem(404, "Not Found")
    asked = await request.json()
    try:
        query = Query(asked["text"], without=asked["not"])
        query.check()
        chosen = Filter(asked["in"], asked["since"], asked["until"], asked["exclude"])
        options = Options(
            k=asked["k"],
            offset=asked["offset"],
            min_relevance=asked["min_relevance"],
            collapse=asked["collapse"],
            filter=chosen if chosen else None,
            labels=[parse_label_threshold(label) for label in asked["labels"]],
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise QueryError(f"not a question: {exc}") from exc
    hits, _ = await service.answering.search(Asked(query), options)
    return [wire(hit) for hit in hits]
