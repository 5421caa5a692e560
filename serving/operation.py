"""Routes for whoever runs a server, and what its collection holds."""

from pathlib import Path

from fastapi import APIRouter, Response

from indexer.errors import CollectionNotFound
from search import Engine, Status
from search.hits import display
from search.stored import folders_of

from . import public
from .service import Service, ServiceDep

router = APIRouter()


@router.get("/healthz", summary="Is the process alive?")
async def healthz() -> public.Health:
    return public.Health(status="ok")


@router.get("/readyz", summary="Can it answer searches?")
async def readyz(service: ServiceDep) -> public.Health:
    try:
        await service.answering.ready()
    except CollectionNotFound:
        return public.Health(status="nothing is indexed yet")
    return public.Health(status="ok")


@router.get(
    "/metrics",
    summary="For Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(service: ServiceDep) -> Response:
    for stage, count in service.answering.waiting.items():
        service.metrics.queue.labels(stage).set(count)
    status = await _status(service)
    service.metrics.pictures.set(status.contents if status else 0)
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")


@router.get("/v1/status", summary="What the collection holds")
async def status(service: ServiceDep) -> public.StatusAnswer:
    found = await _status(service)
    allowed = [str(folder) for folder in service.jobs.allowed]
    if found is None:
        return public.StatusAnswer(can_index=allowed)
    whole = service.settings.expose_paths
    return public.StatusAnswer(
        images=found.images,
        contents=found.contents,
        failed=found.failed,
        model=found.model,
        fingerprint=found.fingerprint,
        dim=found.dim,
        index=found.index,
        roots=found.roots if whole else [Path(root).name for root in found.roots],
        can_index=allowed,
    )


@router.get("/v1/models", summary="Models whose vectors the collection holds")
async def models(service: ServiceDep) -> public.ModelsAnswer:
    found = await _status(service)
    return public.ModelsAnswer.model_validate({"models": found.models if found else []})


@router.get("/v1/folders", summary="Folders that a search can be limited to")
async def folders(service: ServiceDep) -> public.FoldersAnswer:
    try:
        found = await service.answering.engines.ask(lambda e: folders_of(e.catalogue))
    except CollectionNotFound:
        found = []
    return public.FoldersAnswer(
        folders=[public.FolderFacts(path=display(path), images=n) for path, n in found]
    )


async def _status(service: Service) -> Status | None:
    try:
        return await service.answering.engines.ask(Engine.status)
    except CollectionNotFound:
        return None
