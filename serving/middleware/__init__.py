"""What every request passes before a route sees it: one module a job."""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from serving.metrics import Metrics
from serving.settings import Settings
from serving.shared import Shared

from .access_log import AccessLogMiddleware
from .head import HeadMiddleware
from .hosts import HostMiddleware
from .origin import OriginMiddleware
from .rate_limit import RateLimitMiddleware
from .request_limits import RequestLimitsMiddleware
from .root_path import RootPathMiddleware
from .security_headers import SecurityHeadersMiddleware


def install(app: FastAPI, settings: Settings, metrics: Metrics, shared: Shared) -> None:
    """Put the middleware around an application; the last that is added is the outermost."""
    app.add_middleware(HeadMiddleware)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key"],
        )
    if shared.requests is not None:
        app.add_middleware(RateLimitMiddleware, buckets=shared.requests)
    app.add_middleware(OriginMiddleware, allowed=settings.cors_origins)
    app.add_middleware(HostMiddleware, own=settings.host, allowed=settings.allow_hosts)
    app.add_middleware(
        RequestLimitsMiddleware, max_body=settings.max_body, body_seconds=settings.body_seconds
    )
    if settings.root_path:
        app.add_middleware(RootPathMiddleware, root_path=settings.root_path)
    app.add_middleware(SecurityHeadersMiddleware)
    app.add_middleware(AccessLogMiddleware, metrics=metrics)
    if settings.trusted_proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.trusted_proxies))
