"""How many images are of each month."""

from collections.abc import Sequence

from indexer.errors import CollectionNotFound
from search import Engine, Filter
from search.ranking.timeline import Month

from .search import SearchService


async def timeline(
    service: SearchService, chosen: Filter | None, labels: Sequence[tuple[str, float]]
) -> list[Month]:
    """Return the months with images, newest first; none when nothing is indexed yet.

    Args:
        service: The search service.
        chosen: Which images count.
        labels: (label, p) pairs, as of a search.

    Raises:
        QueryError: The filter names a folder that holds no image.
        Busy: Too many requests wait.
    """

    def months(engine: Engine) -> list[Month]:
        return engine.timeline(filter=chosen, labels=labels)

    try:
        return await service.engines.run(months)
    except CollectionNotFound:
        return []
