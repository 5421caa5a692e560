"""The OpenAPI document: what FastAPI finds out by itself, and the schema of problems."""

from typing import Any

from fastapi import FastAPI

from serving.schemas.responses import ProblemDocument

from .errors import MEDIA_TYPE

VERSION = "1"
DESCRIPTION = (
    "Search a collection of images by what they show. Errors are RFC 9457 problem documents. "
    "Where the server has keys, send one as `Authorization: Bearer KEY` or `X-API-Key: KEY`."
)
PROBLEM = {"$ref": "#/components/schemas/ProblemDocument"}
# What every route may answer.
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": meaning, "content": {MEDIA_TYPE: {"schema": PROBLEM}}}
    for status, meaning in (
        ("4XX", "The request cannot be answered as it is."),
        ("503", "Too much to do; Retry-After says when to ask again."),
    )
}


class DocumentedAPI(FastAPI):
    """An application whose document contains the schema that `RESPONSES` refers to.

    FastAPI would document a response model as application/json.
    """

    def openapi(self) -> dict[str, Any]:
        """Return the document."""
        if self.openapi_schema is None:
            schemas = super().openapi()["components"]["schemas"]
            schemas["ProblemDocument"] = ProblemDocument.model_json_schema()
        return super().openapi()
