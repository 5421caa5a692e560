"""Search over HTTP: `create_app(settings)` returns the FastAPI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from serving import errors, middleware
from serving.metrics import Metrics
from serving.openapi import DESCRIPTION, RESPONSES, VERSION, DocumentedAPI
from serving.page_files import page_files
from serving.routes import ROUTERS
from serving.service import running
from serving.settings import Settings
from serving.shared import Shared, make_shared


def create_app(settings: Settings | None = None, shared: Shared | None = None) -> FastAPI:
    """Return the application of one collection.

    Args:
        settings: How the server is set up; `Settings()` when None.
        shared: What other workers of the same server have in common with this one; made when None.
    """
    chosen, metrics = settings or Settings(), Metrics()
    common = shared or make_shared(chosen)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running(app, chosen, metrics, common):
            yield

    app = DocumentedAPI(
        title="clipdex",
        version=VERSION,
        description=DESCRIPTION,
        responses=RESPONSES,
        lifespan=lifespan,
        docs_url=None,  # see serving.routes.docs
        redoc_url=None,
        redirect_slashes=False,
    )
    errors.install(app)
    middleware.install(app, chosen, metrics, common)
    files = page_files()
    app.add_route("/", files, include_in_schema=False)  # type: ignore[arg-type]  # an application
    app.mount("/static", files, name="static")
    for router in ROUTERS:
        app.include_router(router)
    return app
