"""Requests as the search knows them."""

from collections.abc import Sequence
from typing import Any

from search.filters.filter import Filter
from search.labels.label_filter import parse_label_threshold
from search.ranking.query import Query
from search.ranking.ranking import Options
from serving.schemas.requests import FilterBody, SearchBody, SearchQuery

from .search import Asked, check_folders


def options_of(
    chosen: FilterBody, *, k: int = 20, offset: int = 0, absolute: bool = False
) -> Options:
    """k, offset and conditions. absolute: whether clients know whole paths. Raises QueryError."""
    check_folders(chosen.folders, absolute=absolute)
    options = Options(k=k, offset=offset, min_relevance=chosen.min_relevance)
    if chosen.folders or chosen.since is not None or chosen.until is not None:
        options["filter"] = Filter(chosen.folders, chosen.since, chosen.until)
    if chosen.labels:
        options["labels"] = [parse_label_threshold(label) for label in chosen.labels]
    return options


def filter_of(query: SearchQuery) -> FilterBody:
    """The conditions among the parameters."""
    return FilterBody(
        folders=query.folders,
        since=query.since,
        until=query.until,
        min_relevance=query.min_relevance,
        labels=query.label,
    )


def asked_by(query: SearchQuery, images: Sequence[bytes] = ()) -> Asked:
    """Of parameters, and perhaps an image."""
    return Asked(Query(query.q, without=query.without), images)


def asked_in(body: SearchBody) -> Asked:
    """Of JSON."""
    query = Query(
        body.text,
        without=body.without,
        text_weight=body.weights.text,
        image_weight=body.weights.image,
    )
    return Asked(query, [body.image] if body.image is not None else [], body.image_id)


def echo(query: SearchQuery | SearchBody) -> dict[str, Any]:
    """What was understood: every field that was sent, without an image's bytes."""
    sent = query.model_dump(by_alias=True, exclude_unset=True, exclude={"image"})
    if isinstance(query, SearchBody) and query.image is not None:
        sent["image"] = f"{len(query.image)} bytes"
    return sent
