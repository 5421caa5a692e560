"""A collection for assistants, by the Model Context Protocol: tools that read, and change nothing.

An assistant starts `clipdex mcp` and talks to it over standard input and output. Images come as
small pictures within the answers, so that it can look at what was found.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

from mcp.server.mcpserver import Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import Field

from indexer.errors import ClipdexError, ImageError
from indexer.images.decode import Limits
from indexer.images.thumbnails import webp
from indexer.store.collection import locate
from indexer.store.paths import is_url
from search import Engine, Filter
from search.hits import Hit, Results
from search.labels.zero_shot import Labeller
from search.request import SearchRequest, parse_label_threshold
from serving.services.engine_pool import EnginePool

# The longer side of a picture in an answer, and how many there are at most.
SIDE, MAX_PICTURES = 320, 8
MAX_HITS = 100

INSTRUCTIONS = """Finds photos on this machine by what they show. Describe the picture in plain
English, as its caption would ("a dog on a beach"). `relevance` is the estimated probability that a
hit is a match: below 0.3 nothing matches. Nothing is changed or sent anywhere."""

Text = Annotated[str, Field(max_length=2000)]
Count = Annotated[int, Field(ge=1, le=MAX_HITS)]
P = ParamSpec("P")
T = TypeVar("T")


def make_server(collection: Path | str | None) -> MCPServer:
    """Return the server of a collection.

    Args:
        collection: Its folder; found as `indexer.store.collection.locate` does when None.
    """
    engines = EnginePool(locate(collection), threads=1, queue=64)
    server = MCPServer("clipdex", instructions=INSTRUCTIONS, log_level="WARNING")
    read_only = ToolAnnotations(
        read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
    )

    def tool(work: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        @wraps(work)
        async def told(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return await work(*args, **kwargs)
            except ClipdexError as exc:
                raise ToolError(str(exc)) from exc

        return server.tool(annotations=read_only, structured_output=False)(told)

    @tool
    async def search(
        text: Text,
        without: list[Text] = [],  # noqa: B006  # the schema shows it; never changed
        folders: list[Text] = [],  # noqa: B006
        since: str | None = None,
        until: str | None = None,
        labels: list[Text] = [],  # noqa: B006
        k: Count = 10,
        pictures: bool = True,
    ) -> list[Any]:
        """Find photos by what they show.

        Args:
            text: What the photos show; empty for the newest that meet the other conditions.
            without: Texts to steer away from.
            folders: Only photos in these folders: paths, or names of folders.
            since: Only photos taken then or later, such as 2024-07 or 7d.
            until: Only photos taken then or earlier.
            labels: Only photos that show these, such as "dog" or "dog>0.8".
            k: Number of photos.
            pictures: Whether to return small pictures of the best, too.
        """
        request = SearchRequest(
            text,
            without=without,
            filter=Filter(folders, since, until) if folders or since or until else None,
            labels=[parse_label_threshold(label) for label in labels],
            k=k,
        )
        results = await engines.run(lambda engine: engine.results(request))
        return _answer(results, pictures, scored=not request.lists)

    @tool
    async def similar(image: Text, k: Count = 10, pictures: bool = True) -> list[Any]:
        """Find the photos most like one.

        Args:
            image: The path of an image file, in the collection or not.
            k: Number of photos.
            pictures: Whether to return small pictures of the best, too.
        """
        request = SearchRequest(k=k)
        results = await engines.run(lambda engine: engine.similar_results(Path(image), request))
        return _answer(results, pictures)

    @tool
    async def label(images: list[Text], labels: list[Text]) -> list[dict[str, Any]]:
        """Say which of your labels fit each image best, likeliest first.

        `probability` is a label's share among the labels; `none` is the probability that none fits.

        Args:
            images: Paths of image files.
            labels: What they may show, such as "cat" and "dog".
        """

        def choose(engine: Engine) -> list[dict[str, Any]]:
            with engine.question():
                vectors = [engine.vector_of(Path(image))[0] for image in images]
                labeller = Labeller(engine.encoder, labels, (), engine.estimator)
                answers = [labeller.best(vector[None], 5)[0] for vector in vectors]
            return [
                {
                    "image": image,
                    "labels": [
                        {"label": one.label, "probability": round(one.probability, 4)}
                        for one in best
                    ],
                    "none": none,
                }
                for image, (best, none) in zip(images, answers, strict=True)
            ]

        return await engines.run(choose)

    @tool
    async def status() -> dict[str, Any]:
        """Say what the collection holds: how many images, of which folders, and the model."""
        found = await engines.run(Engine.status)
        return {
            "images": found.images,
            "failed": found.failed,
            "folders": found.roots,
            "model": found.model,
            "notes": found.notes,
        }

    return server


def _answer(results: Results, pictures: bool, *, scored: bool = True) -> list[Any]:
    """Return hits as JSON, and pictures of the best."""
    fields = ("path", "relevance", "taken_at", "width", "height")
    hits = [{name: hit.to_json()[name] for name in fields} for hit in results.hits]
    summary = {"images": results.total, "matches": results.total_matches if scored else None}
    return [{**summary, "hits": hits}, *(_pictures(results.hits) if pictures else ())]


def _pictures(hits: Sequence[Hit]) -> list[Image]:
    found = []
    # A search contacts nobody.
    for hit in [one for one in hits if not is_url(one.raw_paths[0])][:MAX_PICTURES]:
        with suppress(OSError, ImageError):  # it has gone, or cannot be read any more
            data = webp(hit.file.read_bytes(), SIDE, Limits(), name=hit.raw_paths[0])
            found.append(Image(data=data, format="webp"))
    return found
