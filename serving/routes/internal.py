"""The route that `clipdex search` uses on the machine of the server; not part of the API."""

from typing import Any

from fastapi import APIRouter, Depends, Request

from indexer.errors import QueryError
from search.client import PATH, hit_to_wire, request_from_wire
from serving.authentication import require_local
from serving.service import ServiceDep

router = APIRouter(dependencies=[Depends(require_local)], include_in_schema=False)


@router.post(PATH)
async def search(service: ServiceDep, request: Request) -> list[dict[str, Any]]:
    """Answer the request that `search.client` has sent."""
    try:
        asked = request_from_wire(await request.json())
    except (TypeError, ValueError) as exc:
        raise QueryError(f"this is not a search request: {exc}") from exc
    answer = service.search.newest if asked.lists else service.search.search
    hits, _ = await answer(asked)
    return [hit_to_wire(hit) for hit in hits]
