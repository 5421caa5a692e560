"""The routes: one module a resource, no logic."""

from . import docs, embeddings, images, jobs, labels, page, search, sessions, status

ROUTERS = (
    page.router,
    docs.router,
    status.health,
    status.router,
    search.router,
    images.router,
    labels.router,
    embeddings.router,
    jobs.router,
    sessions.router,
)
