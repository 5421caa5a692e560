"""All that one server holds, made when it starts and released when it ends."""

import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, FastAPI, Request

from indexer.errors import CollectionNotFound
from indexer.images.memory_budget import BUDGET
from indexer.store.collection import locate
from search import Engine
from serving.images.responses import ImageResponses
from serving.services.engine_pool import EnginePool
from serving.services.errors import InsecureAddress
from serving.services.jobs import Jobs
from serving.services.search import SearchService

from .credentials import Credentials
from .discovery import announce, withdraw
from .metrics import Metrics
from .settings import Settings


@dataclass(frozen=True)
class Service:
    """What routes work with.

    Args:
        settings: The server's settings.
        credentials: Keys and sessions.
        metrics: What Prometheus may know.
        search: Answers searches, and encodes.
        images: Thumbnails and files.
        jobs: Index jobs.
    """

    settings: Settings
    credentials: Credentials
    metrics: Metrics
    search: SearchService
    images: ImageResponses
    jobs: Jobs


def check_address(settings: Settings) -> None:
    """Check that a server which others can reach has a key, unless the user insists.

    Raises:
        InsecureAddress: It has none.
    """
    try:
        loopback = ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        loopback = settings.host == "localhost"
    if not (loopback or settings.api_keys or settings.insecure):
        raise InsecureAddress(
            f"at {settings.host} everybody in the network could search: name a key with --api-key "
            "or $CLIPDEX_API_KEY, or say --insecure"
        )


def make_service(settings: Settings, metrics: Metrics) -> Service:
    """Make all that a server holds; threads begin to work with the first request."""
    collection = locate(settings.collection)
    engines = EnginePool(collection, workers=settings.workers, queue=settings.queue)
    search = SearchService(engines, settings, metrics)
    jobs = Jobs(collection, settings.allow_index, settings.limits)
    credentials = Credentials(settings.api_keys)
    return Service(settings, credentials, metrics, search, ImageResponses(search, settings), jobs)


@asynccontextmanager
async def running(app: FastAPI, settings: Settings, metrics: Metrics) -> AsyncIterator[None]:
    """Hold a service while the application runs; the model is loaded before the first client."""
    service = make_service(settings, metrics)
    app.state.service = service
    BUDGET.split(2 if settings.allow_index else 1)  # with an index job's process

    def known(engine: Engine) -> set[int]:
        return set(engine.catalog.image_ids())

    try:
        await service.search.warm_up()
        if service.images.thumbnails.folder.exists():
            ids = await service.search.engines.run(known)
            await service.search.run_with_images(lambda: service.images.thumbnails.sweep(ids))
    except CollectionNotFound:
        pass
    announced = announce(
        service.search.engines.collection,
        settings.host,
        settings.port,
        service.credentials.local_secret,
    )
    try:
        yield
    finally:
        withdraw(announced)
        service.jobs.close()
        service.search.close()
        service.search.engines.close()


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(_service)]
