"""Near-duplicates of the collection, found once for each of its states."""

import asyncio
from dataclasses import dataclass

from indexer.errors import CollectionNotFound
from search import Engine, Hit
from search.duplicates.groups import Group, find_groups
from search.tags import DUPLICATE, HIDDEN

from .engine_pool import EnginePool
from .errors import Busy

# Requests of which all but one wait.
MAX_ASKED = 8


@dataclass(frozen=True)
class Copy:
    """An image of a group.

    Args:
        hit: The image, as a search finds it; its score is its similarity to the group's first.
        size: Bytes of its file.
    """

    hit: Hit
    size: int


class DuplicateService:
    """Groups of images that look alike; one search for them at a time, since it takes long.

    Args:
        engines: The engines on the collection.
    """

    def __init__(self, engines: EnginePool) -> None:
        self._engines = engines
        self._searching = asyncio.Lock()
        self._asked = 0
        self._found: tuple[int, list[Group]] | None = None

    async def groups(self, offset: int, count: int) -> tuple[list[list[Copy]], int]:
        """Return some groups, each with the image first that is best kept, and how many there are.

        Images that are hidden or tagged as duplicates are left out.

        Args:
            offset: Number of groups to skip.
            count: Number of groups.

        Raises:
            Busy: Too many requests wait.
        """
        if self._asked >= MAX_ASKED:
            raise Busy
        self._asked += 1
        try:
            async with self._searching:
                return await self._engines.run(lambda engine: self._page(engine, offset, count))
        except CollectionNotFound:
            return [], 0
        finally:
            self._asked -= 1

    def _page(self, engine: Engine, offset: int, count: int) -> tuple[list[list[Copy]], int]:
        with engine.question():
            generation = engine.catalog.generation()
            if self._found is None or self._found[0] != generation:
                self._found = generation, find_groups(engine)
            left_out = {
                number
                for tag in (HIDDEN, DUPLICATE)
                for number in engine.catalog.contents_with_own_label(tag).tolist()
            }
            groups = [_without(group, left_out) for group in self._found[1]]
            open_groups = [group for group in groups if len(group) > 1]
            page = open_groups[offset : offset + count]
            numbers = [number for group in page for number in group]
            contents = engine.catalog.contents(numbers)
            sizes = engine.catalog.file_sizes(numbers)
        copies = [
            [
                Copy(Hit.of(contents[number], similarity, None), sizes[number])
                for number, similarity in group.items()
                if number in contents and number in sizes
            ]
            for group in page
        ]
        return copies, len(open_groups)


def _without(group: Group, left_out: set[int]) -> dict[int, float]:
    """Return a group's images with their similarities, without some of them."""
    everything = {group.first: 1.0, **group.members}
    return {number: near for number, near in everything.items() if number not in left_out}
