"""What the collection knows about one image."""

from dataclasses import dataclass

from indexer.errors import ImageNotFound
from search import Engine, Hit
from search.labels.tagging import tags_of

from .search import SearchService


@dataclass(frozen=True)
class ImageDetails:
    """One image of the collection.

    Args:
        hit: The image, as a search finds it.
        format: Pillow's name of its format.
        size: Bytes of its file.
        tags: Labels that the user gave it.
    """

    hit: Hit
    format: str
    size: int
    tags: list[str]


async def image_details(service: SearchService, number: int) -> ImageDetails:
    """Look up an image by its id.

    Raises:
        ImageNotFound: No image has this id.
        Busy: Too many requests wait.
    """

    def look_up(engine: Engine) -> ImageDetails:
        with engine.question():
            found = engine.catalog.contents([number])
            kind = engine.catalog.digest_and_format(number)
            files = engine.catalog.files_of(number)
            tags = tags_of(engine.catalog, number)
        if kind is None or number not in found or not files:
            raise ImageNotFound(f"no image has the id {number}")
        return ImageDetails(Hit.of(found[number], 0.0, None), kind[1], files[0].size, tags)

    return await service.engines.run(look_up)
