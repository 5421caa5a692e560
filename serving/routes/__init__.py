"""The routes: one module a resource, no logic."""

from . import (
    docs,
    embeddings,
    images,
    jobs,
    labels,
    page,
    search,
    sessions,
    status,
    texts,
    timeline,
)

ROUTERS = (
    page.router,
    docs.router,
    status.health,
    status.router,
    search.router,
    timeline.router,
    images.router,
    labels.router,
    texts.router,
    embeddings.router,
    jobs.router,
    sessions.router,
)
