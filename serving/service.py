"""All that one server holds, made when it starts and released when it ends."""

import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, FastAPI, Request

from indexer.bundles.cache import cache_folder
from indexer.errors import CollectionNotFound
from indexer.images.memory_budget import BUDGET
from indexer.store.collection import locate
from indexer.store.paths import display
from indexer.store.thumbnail_files import keep_thumbnails, thumbnails_folder
from search import Engine
from serving.images.archives import Archives
from serving.images.responses import ImageResponses
from serving.images.safe_open import may_be_read
from serving.schemas.paths import FolderNames
from serving.services.duplicates import DuplicateService
from serving.services.engine_pool import EnginePool
from serving.services.errors import InsecureAddress
from serving.services.jobs import Jobs
from serving.services.search import SearchService
from serving.services.suggestions import SuggestionService
from serving.services.tags import TagService
from serving.services.texts import TextService
from serving.services.training.service import LearningService

from .credentials import Credentials
from .local_socket import answering_commands
from .metrics import Metrics
from .settings import Settings
from .shared import Shared


@dataclass(frozen=True)
class Service:
    """What routes work with.

    Args:
        settings: The server's settings.
        credentials: Keys and sessions.
        metrics: What Prometheus may know.
        search: Answers searches, and encodes.
        suggestions: What a text that is being typed may go on with.
        texts: Classifies texts.
        tags: Tags of images.
        learning: Heads and concepts.
        duplicates: Images that look alike.
        images: Thumbnails and files.
        archives: Images as zips.
        jobs: Index jobs.
        folders: How clients see the folders of this machine.
    """

    settings: Settings
    credentials: Credentials
    metrics: Metrics
    search: SearchService
    suggestions: SuggestionService
    texts: TextService
    tags: TagService
    learning: LearningService
    duplicates: DuplicateService
    images: ImageResponses
    archives: Archives
    jobs: Jobs
    folders: FolderNames


def check_address(settings: Settings) -> None:
    """Check that a server which others can reach has a key, unless the user insists.

    Raises:
        InsecureAddress: It has none.
    """
    try:
        loopback = ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        loopback = settings.host == "localhost"
    if not (loopback or settings.key_required or settings.insecure):
        raise InsecureAddress(
            f"at {settings.host} everybody in the network could search: name a key with --api-key "
            "or $CLIPDEX_API_KEY, or say --insecure"
        )


def check_collection(settings: Settings) -> list[str]:
    """Check that the collection can be opened and searched; it may be missing or empty.

    Returns:
        Its remote roots whose originals the server may not fetch.

    Raises:
        CollectionError: It cannot be opened.
        FingerprintMismatch: Its model is another one here.
        ModelError: Its model is not on this machine.
    """
    with suppress(CollectionNotFound), Engine.open(settings.collection) as engine:
        roots, allowed = engine.catalog.roots().values(), settings.allow_remote
        return [display(root) for root in roots if not may_be_read(root, allowed)]
    return []


def make_service(settings: Settings, metrics: Metrics, shared: Shared) -> Service:
    """Make all that a server holds; threads begin to work with the first request."""
    collection = locate(settings.collection).for_threads(settings.threads)
    engines = EnginePool(collection, threads=settings.threads, queue=settings.queue)
    search = SearchService(engines, settings, metrics)
    texts = TextService(collection, queue=settings.queue)
    tags = TagService(engines, queue=settings.queue)
    images = ImageResponses(search, settings)
    known = [collection.folder, cache_folder(), *settings.allow_index]
    folders = FolderNames(known, whole=settings.expose_paths)
    return Service(
        settings=settings,
        credentials=shared.credentials,
        metrics=metrics,
        search=search,
        suggestions=SuggestionService(engines),
        texts=texts,
        tags=tags,
        learning=LearningService(engines),
        duplicates=DuplicateService(engines),
        images=images,
        archives=Archives(search, images),
        jobs=shared.jobs,
        folders=folders,
    )


@asynccontextmanager
async def running(
    app: FastAPI, settings: Settings, metrics: Metrics, shared: Shared
) -> AsyncIterator[None]:
    """Hold a service while the application runs; the model is loaded before the first client."""
    service = make_service(settings, metrics, shared)
    app.state.service = service
    # With an index job's process.
    BUDGET.split(settings.workers + (1 if settings.allow_index else 0))

    def known(engine: Engine) -> list[bytes]:
        with engine.question():
            return list(engine.catalog.digests().values())

    try:
        await service.search.warm_up()
        place = service.search.engines.collection
        if thumbnails_folder(place).exists():
            contents = await service.search.engines.run(known)
            await service.search.run_with_images(lambda: keep_thumbnails(place, contents))
    except CollectionNotFound:
        pass
    try:
        async with answering_commands(service.search) if settings.commands else nullcontext():
            yield
    finally:
        shared.close()
        service.texts.close()
        service.tags.close()
        service.search.close()
        service.search.engines.close()


async def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(_service)]
