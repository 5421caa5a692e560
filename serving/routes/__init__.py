"""The routes: one module a resource, no logic."""

from . import (
    docs,
    download,
    duplicates,
    embeddings,
    images,
    jobs,
    labels,
    learned,
    page,
    search,
    sessions,
    status,
    tags,
    texts,
    timeline,
)

ROUTERS = (
    page.router,
    docs.router,
    status.health,
    status.router,
    search.router,
    tags.router,
    timeline.router,
    images.router,
    download.router,
    duplicates.router,
    labels.router,
    learned.router,
    texts.router,
    embeddings.router,
    jobs.router,
    sessions.router,
)
