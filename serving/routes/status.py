"""Whether the server is up, and what its collection holds."""

from pathlib import Path

from fastapi import Response

from indexer.errors import CollectionNotFound
from indexer.store.paths import display
from search import Engine, Status
from search.hints import better_model
from serving.authentication import protected_router, public_router
from serving.schemas import responses
from serving.service import Service, ServiceDep

# Health checks need no key.
health = public_router("status")
router = protected_router("status")


@health.get("/healthz", summary="Is the process alive?")
async def healthz() -> responses.Health:
    """Return whether the process is alive."""
    return responses.Health(status="ok")


@health.get("/readyz", summary="Can it answer searches?")
async def readyz(service: ServiceDep) -> responses.Health:
    """Return whether searches can be answered."""
    try:
        await service.search.ready()
    except CollectionNotFound:
        return responses.Health(status="nothing is indexed yet")
    return responses.Health(status="ok")


@router.get(
    "/metrics",
    summary="For Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(service: ServiceDep) -> Response:
    """Return metrics in Prometheus' text format."""
    for stage, count in service.search.waiting.items():
        service.metrics.queue.labels(stage).set(count)
    status = await _status(service)
    service.metrics.images.set(status.contents if status else 0)
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")


@router.get("/v1/status", summary="What the collection holds")
async def status(service: ServiceDep) -> responses.StatusAnswer:
    """Return what the collection holds."""
    found = await _status(service)
    allowed = [service.folders.text(str(folder)) for folder in service.settings.allow_index]
    if found is None:
        return responses.StatusAnswer(can_index=allowed)
    whole = service.settings.expose_paths
    return responses.StatusAnswer(
        images=found.images,
        contents=found.contents,
        failed=found.failed,
        model=found.model,
        fingerprint=found.fingerprint,
        dim=found.dim,
        index=found.index,
        roots=found.roots if whole else [Path(root).name for root in found.roots],
        can_index=allowed,
        notes=found.notes,
        hint=better_model(found.model, found.models) if service.settings.hints else None,
    )


@router.get("/v1/models", summary="Models whose vectors the collection holds")
async def models(service: ServiceDep) -> responses.ModelsAnswer:
    """Return the models."""
    found = await _status(service)
    return responses.ModelsAnswer.model_validate({"models": found.models if found else []})


@router.get("/v1/folders", summary="Folders that a search can be limited to")
async def folders(service: ServiceDep) -> responses.FoldersAnswer:
    """Return the folders."""
    try:
        found = await service.search.engines.run(_folders)
    except CollectionNotFound:
        found = []
    return responses.FoldersAnswer(
        folders=[responses.FolderAnswer(path=display(path), images=n) for path, n in found]
    )


async def _status(service: Service) -> Status | None:
    try:
        return await service.search.engines.run(Engine.status)
    except CollectionNotFound:
        return None


def _folders(engine: Engine) -> list[tuple[bytes, int]]:
    with engine.question():
        return engine.catalog.folders()
