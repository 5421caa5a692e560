"""All that one server holds, made when it starts and let go when it ends."""

import ipaddress
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, FastAPI, Request

from indexer.errors import ClipdexError, CollectionNotFound
from indexer.store.collection import locate
from search import Engine
from serving.images.responses import Images
from serving.middleware.credentials import Access
from serving.schemas.responses import Shown
from serving.services.engine_pool import Engines
from serving.services.jobs import Jobs
from serving.services.search import Answering

from .discovery import announce, withdraw
from .metrics import Metrics
from .settings import Settings


class InsecureAddress(ClipdexError):
    """A server that everybody in the network could use."""


class AddressUnavailable(ClipdexError):
    """An address that this machine cannot listen at."""


@dataclass(frozen=True)
class Service:
    """What routes work with."""

    settings: Settings
    access: Access
    metrics: Metrics
    answering: Answering
    images: Images
    jobs: Jobs

    async def shown(self, paths: Sequence[bytes]) -> Shown:
        """How these paths are shown to clients."""
        if self.settings.expose_paths:
            return Shown((), whole=True)
        return await self.answering.shown(paths)


def check_address(settings: Settings) -> None:
    """Raise InsecureAddress for a server that others reach without a key, unless that is meant."""
    try:
        loopback = ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        loopback = settings.host == "localhost"
    if not (loopback or settings.api_keys or settings.insecure):
        raise InsecureAddress(
            f"at {settings.host} everybody in the network could search: name a key with --api-key "
            "or $CLIPDEX_API_KEY, or say --insecure"
        )


def make_service(settings: Settings, access: Access, metrics: Metrics) -> Service:
    """Everything but the threads' work, which begins with the first request."""
    collection = locate(settings.collection)
    engines = Engines(collection, workers=settings.workers, queue=settings.queue)
    answering = Answering(engines, settings, metrics)
    jobs = Jobs(collection, settings.allow_index, settings.limits)
    return Service(settings, access, metrics, answering, Images(answering, settings), jobs)


@asynccontextmanager
async def running(
    app: FastAPI, settings: Settings, access: Access, metrics: Metrics
) -> AsyncIterator[None]:
    """The lifespan: the model is loaded before the first client comes."""
    service = make_service(settings, access, metrics)
    app.state.service = service

    def known(engine: Engine) -> set[int]:
        return set(engine.catalog.image_ids())

    try:
        await service.answering.warm_up()
        if service.images.thumbnails.folder.exists():
            ids = await service.answering.engines.ask(known)
            await service.answering.with_images(lambda: service.images.thumbnails.sweep(ids))
    except CollectionNotFound:
        pass
    announced = announce(
        service.answering.engines.collection, settings.host, settings.port, access.local_secret
    )
    try:
        yield
    finally:
        withdraw(announced)
        service.jobs.close()
        service.answering.close()
        service.answering.engines.close()


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(_service)]
