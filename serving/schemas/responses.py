"""What clients get."""

import os
from collections.abc import Iterable
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from indexer.store.paths import path_fields
from search import Hit
from serving.services.jobs import Job


class Public(BaseModel):
    """Built from a server's own objects."""

    model_config = ConfigDict(from_attributes=True)


class PublicHit(Public):
    """One image found. score: cosine; null where nothing was asked."""

    id: int
    path: str = Field(examples=["2024/Italy/IMG_0815.jpg"])
    path_b64: str | None = Field(None, description="The path's bytes where they are no UTF-8.")
    score: float | None
    relevance: float | None = Field(description="Estimated probability that it is a match.")
    width: int
    height: int
    taken_at: str | None
    thumbnail: str
    file: str

    @classmethod
    def of(cls, hit: Hit, shown: "Shown", *, scored: bool = True) -> Self:
        """A hit as a client may see it."""
        return cls(
            id=hit.id,
            **shown.metadata(hit.raw_paths[0]),
            score=round(hit.score, 6) if scored else None,
            relevance=hit.relevance,
            width=hit.width,
            height=hit.height,
            taken_at=hit.taken_at,
            **links(hit.id),
        )


class SearchAnswer(Public):
    """Hits, best first. total: images that pass the filters."""

    query: dict[str, Any]
    took_ms: float
    total: int
    hits: list[PublicHit]


class ImageAnswer(Public):
    """One image's metadata."""

    id: int
    path: str
    path_b64: str | None = None
    paths: list[str]
    width: int
    height: int
    format: str
    taken_at: str | None
    size_bytes: int
    thumbnail: str
    file: str


class LabelShare(Public):
    """A label and its share of the softmax over all labels."""

    label: str
    probability: float


class LabelledImage(Public):
    """id: null for the image that came with the request. none: P(no label fits)."""

    id: int | None
    labels: list[LabelShare]
    none: float | None


class LabelAnswer(Public):
    """In the order of the request."""

    images: list[LabelledImage]


class LabelCount(Public):
    """How many images show a label."""

    label: str
    count: int


class LabelCountAnswer(Public):
    """In the order of the request."""

    counts: list[LabelCount]


class StatusAnswer(Public):
    """What the collection holds. can_index: folders that jobs may read."""

    images: int = 0
    contents: int = 0
    failed: int = 0
    model: str | None = None
    fingerprint: str | None = None
    dim: int | None = None
    index: dict[str, Any] | None = None
    roots: list[str] = []
    can_index: list[str] = []


class ModelFacts(Public):
    """A model whose vectors the collection holds. state: active, pending or former."""

    name: str
    fingerprint: str
    dim: int
    state: str
    vectors: int


class ModelsAnswer(Public):
    """The one that answers first."""

    models: list[ModelFacts]


class FolderFacts(Public):
    """A folder below the indexed ones, and how many files lie in it and below."""

    path: str
    images: int


class FoldersAnswer(Public):
    """By path."""

    folders: list[FolderFacts]


class SkippedFile(Public):
    """A file that could not be read."""

    path: str
    reason: str


class JobAnswer(Public):
    """An index job; stage, done and total say where it is."""

    id: str
    paths: list[str]
    created_at: str
    state: Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]
    stage: str | None
    done: int
    total: int
    images_per_second: float
    report: dict[str, int | float] | None
    error: str | None
    skipped: list[SkippedFile]
    finished_at: str | None

    @classmethod
    def of(cls, job: Job) -> Self:
        """A job as a client may see it."""
        return cls.model_validate(job)


class JobsAnswer(Public):
    """Newest first."""

    jobs: list[JobAnswer]


class SessionAnswer(Public):
    """required: whether a key is needed at all."""

    required: bool
    signed_in: bool


class Health(Public):
    """ok, or why not."""

    status: str


class Embedding(Public):
    """One input's vector, of unit length: numbers, or base64 of little-endian float32."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Usage(Public):
    """Always 0: clipdex does not bill."""

    prompt_tokens: int = 0
    total_tokens: int = 0


class EmbeddingsAnswer(Public):
    """OpenAI's answer."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage = Usage()


class ProblemDocument(BaseModel):
    """RFC 9457: why a request was not answered."""

    type: str = "about:blank"
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["k: Input should be less than or equal to 500"])
    request_id: str | None = None
    errors: list[dict[str, str]] | None = None


class Shown:
    """How a path is shown: below its root, or whole where clients may know it."""

    def __init__(self, roots: Iterable[bytes], *, whole: bool) -> None:
        self._roots = sorted((root.rstrip(b"/") + b"/" for root in roots), key=len, reverse=True)
        self._whole = whole

    def covers(self, path: bytes) -> bool:
        """Whether an absolute path lies below one of the roots."""
        return any(path.startswith(root) for root in self._roots)

    def path(self, path: bytes) -> bytes:
        """What a client sees of an absolute path."""
        if self._whole:
            return path
        for root in self._roots:
            if path.startswith(root):
                return path[len(root) :]
        return os.path.basename(path)

    def metadata(self, path: bytes) -> dict[str, str]:
        """`path`, and `path_b64` where that is not the same."""
        return path_fields(self.path(path))


def links(number: int) -> dict[str, str]:
    """Where an image's thumbnail and file are."""
    return {
        "thumbnail": f"/v1/images/{number}/thumbnail?size=320",
        "file": f"/v1/images/{number}/file",
    }
