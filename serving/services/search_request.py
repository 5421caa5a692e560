"""What clients send, as the search request that the engine knows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from indexer.errors import QueryError
from search.filters.filter import Filter
from search.query_text import parse
from search.request import SearchRequest, parse_label_threshold
from serving.schemas.requests import FilterBody, SearchBody, SearchQuery, TimelineQuery


def request_of_query(
    query: SearchQuery, images: Sequence[bytes] = (), *, absolute: bool = False
) -> SearchRequest:
    """Return the request that query parameters and uploaded images make.

    Args:
        query: The parameters.
        images: Bytes of image files.
        absolute: Whether clients may name absolute folders.

    Raises:
        QueryError: A date, a label or a folder makes no sense.
    """
    text, without, chosen = _read(query.q, query, filter_of(query, absolute=absolute))
    return SearchRequest(
        text,
        images=images,
        without=without,
        filter=chosen,
        labels=[parse_label_threshold(label) for label in query.label],
        k=query.k,
        offset=query.offset,
        min_relevance=query.min_relevance,
        names=query.names,
    )


def request_of_body(body: SearchBody, *, absolute: bool = False) -> SearchRequest:
    """Return the request that a JSON body makes; see `request_of_query`."""
    images: list[bytes | int] = [] if body.image is None else [body.image]
    if body.image_id is not None:
        images.append(body.image_id)
    images += body.image_ids
    text, without, chosen = _read(body.text, body, filter_of(body.filter, absolute=absolute))
    return SearchRequest(
        text,
        images=images,
        without=without,
        unlike=body.unlike_ids,
        text_weight=body.weights.text,
        image_weight=body.weights.image,
        filter=chosen,
        labels=[parse_label_threshold(label) for label in body.filter.labels],
        k=body.k,
        offset=body.offset,
        min_relevance=body.filter.min_relevance,
        names=body.names,
    )


def _read(
    text: str | None, sent: SearchQuery | SearchBody, chosen: Filter | None
) -> tuple[str | None, Sequence[str], Filter | None]:
    """Return the text, what to steer away from and the filter, with what the text says of them.

    Raises:
        QueryError: A date or a tag in the text makes no sense.
    """
    if text is None or not sent.names:
        return text, sent.without, chosen
    said = parse(text)
    return said.text, (*sent.without, *said.without), said.narrow(chosen)


def filter_of(
    chosen: SearchQuery | TimelineQuery | FilterBody, *, absolute: bool = False
) -> Filter | None:
    """Return the filter by folder, date and tag, or None without such conditions.

    Args:
        chosen: What a client has sent.
        absolute: Whether clients may name absolute folders.

    Raises:
        QueryError: A date makes no sense, or a client may not name a folder.
    """
    for folder in chosen.folders:
        parts = Path(folder).parts
        if ".." in parts or "\0" in folder or (Path(folder).is_absolute() and not absolute):
            raise QueryError(f"there is no indexed image in {folder[:200]!r}")
    if not (chosen.folders or chosen.tags) and chosen.since is None and chosen.until is None:
        return None
    return Filter(chosen.folders, chosen.since, chosen.until, tags=chosen.tags)


def echo(query: SearchQuery | SearchBody) -> dict[str, Any]:
    """Return every field that was sent, without the bytes of an image."""
    sent = query.model_dump(by_alias=True, exclude_unset=True, exclude={"image"})
    if isinstance(query, SearchBody) and query.image is not None:
        sent["image"] = f"{len(query.image)} bytes"
    return sent
