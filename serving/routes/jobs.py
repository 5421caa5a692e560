"""Jobs: indexing, and learning heads."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from typing import Annotated, TypeVar

from fastapi import Path, Response
from fastapi.responses import StreamingResponse

from serving.authentication import protected_router
from serving.schemas import requests, responses
from serving.service import Service, ServiceDep
from serving.services.jobs import Job

router = protected_router("jobs")

T = TypeVar("T")

JobId = Annotated[str, Path(alias="id", max_length=64)]

# Seconds between two events of a job.
EVENT_SECONDS = 0.25


@router.post("/v1/index", summary="Index folders that the operator allowed", status_code=202)
async def index(
    service: ServiceDep, body: requests.IndexBody, response: Response
) -> responses.JobAnswer:
    """Start a job."""
    return await started(service, response, service.jobs.start, body.paths)


@router.get("/v1/jobs", summary="The last index jobs")
async def jobs(service: ServiceDep) -> responses.JobsAnswer:
    """Return the jobs that are remembered, newest first."""
    return responses.JobsAnswer(jobs=[_answer(service, job) for job in service.jobs.all()])


@router.get("/v1/jobs/{id}", summary="An index job")
async def job(service: ServiceDep, number: JobId) -> responses.JobAnswer:
    """Return a job."""
    return _answer(service, service.jobs.get(number))


@router.delete("/v1/jobs/{id}", summary="Cancel an index job; what it committed is kept")
async def cancel(service: ServiceDep, number: JobId) -> responses.JobAnswer:
    """Ask a job to end."""
    return _answer(service, service.jobs.cancel(number))


@router.get(
    "/v1/jobs/{id}/events",
    summary="An index job's progress as server-sent events, `progress` and at last `end`",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def events(service: ServiceDep, number: JobId) -> StreamingResponse:
    """Stream the progress of a job until it ends."""
    first = service.jobs.get(number)

    async def stream() -> AsyncIterator[str]:
        last, watched = "", first
        while True:
            running = watched.running
            data = _answer(service, watched).model_dump_json()
            if data != last:
                yield f"event: {'progress' if running else 'end'}\ndata: {data}\n\n"
                last = data
            if not running:
                return
            await asyncio.sleep(EVENT_SECONDS)
            watched = service.jobs.get(number)

    return StreamingResponse(stream(), media_type="text/event-stream")


async def started(
    service: Service, response: Response, start: Callable[[T], Job], given: T
) -> responses.JobAnswer:
    """Start a job, and answer with it and where it is found."""
    job = await asyncio.to_thread(start, given)
    response.headers["Location"] = f"{service.settings.root_path}/v1/jobs/{job.id}"
    return _answer(service, job)


def _answer(service: Service, job: Job) -> responses.JobAnswer:
    """Return a job as clients may see it."""
    seen = service.folders.text
    return responses.JobAnswer.model_validate(
        asdict(job)
        | {
            "paths": [seen(path) for path in job.paths],
            "error": job.error and seen(job.error),
            "skipped": [
                {"path": seen(one["path"]), "reason": seen(one["reason"])} for one in job.skipped
            ],
        }
    )
