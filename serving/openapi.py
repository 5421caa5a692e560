"""The OpenAPI document: what FastAPI finds out by itself, and problems, keys and examples."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from serving.schemas.responses import ProblemDocument

from .errors import MEDIA_TYPE

VERSION = "1"
DESCRIPTION = (
    "Search a collection of images by what they show. Errors are RFC 9457 problem documents. "
    "Where the server has keys, send one as `Authorization: Bearer KEY` or `X-API-Key: KEY`."
)
PROBLEM = {"$ref": "#/components/schemas/ProblemDocument"}
# Not behind a key.
PUBLIC = ("/healthz", "/readyz", "/v1/session")


def describe(app: FastAPI) -> None:
    """Let `app` serve this document at /openapi.json."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(
                get_openapi(
                    title=app.title,
                    version=VERSION,
                    description=DESCRIPTION,
                    routes=app.routes,
                )
            )
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    components = document["components"]
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    components["schemas"]["ProblemDocument"] = ProblemDocument.model_json_schema()
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    for path, operations in document["paths"].items():
        for operation in operations.values():
            responses = operation["responses"]
            responses.pop("422", None)
            for status, meaning in (
                ("4XX", "The request cannot be answered as it is."),
                ("503", "Too much to do; Retry-After says when to ask again."),
            ):
                responses[status] = {
                    "description": meaning,
                    "content": {MEDIA_TYPE: {"schema": PROBLEM}},
                }
            if path not in PUBLIC:
                operation["security"] = [{}, {"bearer": []}, {"header": []}]
    return document
