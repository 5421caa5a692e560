"""What clients get."""

from collections.abc import Sequence
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from search import Hit
from search.labels.answer import Answer as BestLabels

from .paths import PathView


class Answer(BaseModel):
    """Base of what routes return; can be built from a server's own objects."""

    model_config = ConfigDict(from_attributes=True)


class HitAnswer(Answer):
    """One image found.

    score: cosine similarity; null when nothing was searched for. found_by: which of its name,
    folder, tags and camera the text names; empty unless `names` was set.
    """

    id: int
    path: str = Field(examples=["2024/Italy/IMG_0815.jpg"])
    path_b64: str | None = Field(None, description="The path in base64, where it is not UTF-8.")
    score: float | None
    relevance: float | None = Field(description="Estimated probability that it is a match.")
    found_by: list[Literal["tag", "name", "camera", "folder"]] = []
    width: int
    height: int
    taken_at: str | None
    thumbnail: str
    file: str

    @classmethod
    def of(cls, hit: Hit, paths: PathView, *, root_path: str, scored: bool = True) -> Self:
        """Return a hit as a client may see it; see `links`."""
        return cls(
            id=hit.id,
            **paths.fields(hit.raw_paths[0]),
            score=round(hit.score, 6) if scored else None,
            relevance=hit.relevance,
            found_by=list(hit.found_by),
            width=hit.width,
            height=hit.height,
            taken_at=hit.taken_at,
            **links(hit.id, hit.digest, root_path),
        )


class SearchAnswer(Answer):
    """Hits, best first.

    total: images that pass the filters. total_matches: those of them that match, with a relevance
    of 0.5 or more; null when nothing was searched for, or the model has no estimate. total_named:
    those whose name, folder, tag or camera the text has; null when `names` is not set. notice: what
    to do about a query in a language that the model does not know; null when there is nothing to
    say, or the server gives no hints.
    """

    query: dict[str, Any]
    took_ms: float
    total: int
    total_matches: int | None
    total_named: int | None = None
    notice: str | None = None
    hits: list[HitAnswer]


class SuggestionAnswer(Answer):
    """A way to go on.

    text: the whole text with it. shown: what it adds. key: the condition that it is, or begins.
    images: how many there are; null where that is not known.
    """

    text: str
    shown: str
    key: str
    images: int | None


class SuggestionsAnswer(Answer):
    """What a text that is being typed may go on with."""

    suggestions: list[SuggestionAnswer]


class TimelineMonth(Answer):
    """A month.

    days: how many of its images are of each day, from the first to the last one with images.
    """

    month: str = Field(examples=["2024-07"])
    count: int
    days: list[int]


class TimelineAnswer(Answer):
    """The months with images, newest first: in the order of a search for nothing."""

    total: int
    months: list[TimelineMonth]


class FileFacts(Answer):
    """What an image's file says of how and where it was taken; null where it says nothing.

    place: names, or else coordinates.
    """

    camera: str | None = Field(None, examples=["Canon EOS 80D"])
    lens: str | None = Field(None, examples=["EF50mm f/1.8 STM"])
    exposure: str | None = Field(None, examples=["1/250 s, f/2.8, ISO 400, 50 mm"])
    place: str | None = Field(None, examples=["Vienna, Austria"])


class ImageAnswer(Answer):
    """One image's metadata; `tags` are sorted.

    facts: null for clients whose key only reads, unless the server gives originals out.
    dated_by: "image" where it, or its name, says when it was taken; "file" where `taken_at` is only
    when its file last changed.
    """

    id: int
    path: str
    path_b64: str | None = None
    paths: list[str]
    width: int
    height: int
    format: str
    taken_at: str | None
    dated_by: Literal["image", "file"]
    size_bytes: int
    tags: list[str]
    facts: FileFacts | None
    thumbnail: str
    file: str


class DuplicateImage(Answer):
    """An image of a group. similarity: to the group's first image, in [0, 1]."""

    id: int
    path: str
    path_b64: str | None = None
    similarity: float
    width: int
    height: int
    size_bytes: int
    taken_at: str | None
    thumbnail: str
    file: str

    @classmethod
    def of_copy(cls, hit: Hit, size: int, paths: PathView, root_path: str) -> Self:
        """Return an image as a client may see it; see `links`."""
        return cls(
            id=hit.id,
            **paths.fields(hit.raw_paths[0]),
            similarity=round(hit.score, 4),
            width=hit.width,
            height=hit.height,
            size_bytes=size,
            taken_at=hit.taken_at,
            **links(hit.id, hit.digest, root_path),
        )


class DuplicateGroup(Answer):
    """Images that look alike: the largest first, unless wide borders hide much of it."""

    images: list[DuplicateImage]


class DuplicatesAnswer(Answer):
    """Groups of two or more images. total: how many groups there are."""

    total: int
    groups: list[DuplicateGroup]


class LabelShare(Answer):
    """A label.

    probability: its share of the softmax over all labels (which of them is it?). relevance: the
    estimated probability that the image shows it (is it there?).
    """

    label: str
    probability: float
    relevance: float | None


class LabelledImage(Answer):
    """id: null for the image that came with the request. none: P(no label fits)."""

    id: int | None
    labels: list[LabelShare]
    none: float | None


class LabelAnswer(Answer):
    """In the order of the request."""

    images: list[LabelledImage]


class TextLabel(Answer):
    """A label of a text, and its probability among all labels."""

    label: str
    probability: float


class ClassifiedText(Answer):
    """A text's labels, best first. none: P(no label fits); null where that was not learned."""

    labels: list[TextLabel]
    none: float | None


class ClassifyTextAnswer(Answer):
    """In the order of the request."""

    texts: list[ClassifiedText]

    @classmethod
    def of(cls, answers: Sequence[BestLabels]) -> Self:
        """Return the answers of a classifier."""
        return cls(
            texts=[
                ClassifiedText(
                    labels=[
                        TextLabel(label=one.label, probability=round(one.probability, 6))
                        for one in labels
                    ],
                    none=none,
                )
                for labels, none in answers
            ]
        )


class LabelCount(Answer):
    """How many images show a label."""

    label: str
    count: int


class LabelCountAnswer(Answer):
    """In the order of the request."""

    counts: list[LabelCount]


class TagCount(Answer):
    """A tag, and how many images a search for it chooses from."""

    tag: str
    count: int


class TagsAnswer(Answer):
    """Sorted by tag. total: how many tags begin so, whatever `k` is."""

    total: int
    tags: list[TagCount]


class TagChange(Answer):
    """Images whose tags were changed alike.

    The reverse, `removed` as `add` and `added` as `remove` for the same images, undoes it.
    """

    image_ids: list[int]
    added: list[str]
    removed: list[str]


class TagChangesAnswer(Answer):
    """What is now other than before: images that had a tag already do not appear with it."""

    changes: list[TagChange]


class StatusAnswer(Answer):
    """What the collection holds.

    can_index: folders that jobs may read. notes: how many images are not as usual, by what is said
    of them, such as "partly readable". hint: how to get a better model than the built-in one; null
    when there is another one, or the server gives no hints.
    """

    images: int = 0
    contents: int = 0
    failed: int = 0
    model: str | None = None
    fingerprint: str | None = None
    dim: int | None = None
    index: dict[str, Any] | None = None
    roots: list[str] = []
    can_index: list[str] = []
    notes: dict[str, int] = {}
    hint: str | None = None


class ModelAnswer(Answer):
    """A model whose vectors the collection holds. state: active, pending or former."""

    name: str
    fingerprint: str
    dim: int
    state: str
    vectors: int


class ModelsAnswer(Answer):
    """The model that answers searches comes first."""

    models: list[ModelAnswer]


class FolderAnswer(Answer):
    """A folder below the indexed ones, and how many files lie in it and below."""

    path: str
    images: int


class FoldersAnswer(Answer):
    """Sorted by path."""

    folders: list[FolderAnswer]


class SkippedFile(Answer):
    """A file that could not be read."""

    path: str
    reason: str


class JobAnswer(Answer):
    """A job; stage, done and total say where it is.

    kind: "index", or "train" for a head that is learnt, which `name` is of. report: what it did:
    numbers of files; of a head, its classes, examples, and accuracy on those held out.
    """

    id: str
    kind: Literal["index", "train"]
    name: str | None
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


class JobsAnswer(Answer):
    """Newest first."""

    jobs: list[JobAnswer]


class LearnedAnswer(Answer):
    """A head, a concept or a text classifier.

    images: how many it was learnt from; null where that was not kept. classes: empty for a concept,
    which is a word of searches. accuracy: of a head on examples that were held out; null where none
    were.
    """

    name: str
    kind: Literal["head", "concept", "text"]
    classes: list[str]
    images: int | None
    accuracy: float | None
    made: str | None


class LearnedListAnswer(Answer):
    """By kind and name."""

    learned: list[LearnedAnswer]


class SessionAnswer(Answer):
    """What the page's session lets it do.

    required: whether a key is needed at all. may_write: whether the session's key does more than
    search and look; true where no key is needed.
    """

    required: bool
    signed_in: bool
    may_write: bool


class Health(Answer):
    """Whether the server can answer: ok, or the reason why not."""

    status: str


class Embedding(Answer):
    """One input's vector, of unit length: numbers, or base64 of little-endian float32."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Usage(Answer):
    """Always 0: clipdex does not bill."""

    prompt_tokens: int = 0
    total_tokens: int = 0


class EmbeddingsAnswer(Answer):
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


def version_of(digest: bytes) -> str:
    """Return what names a content in a URL, which may be kept for ever then."""
    return digest.hex()[:16]


def links(number: int, digest: bytes, root_path: str) -> dict[str, str]:
    """Return where the thumbnail and the file of an image are.

    Args:
        number: The image's id.
        digest: Its content's hash.
        root_path: The path below which clients see the server.
    """
    image = f"{root_path}/v1/images/{number}"
    version = f"v={version_of(digest)}"
    return {"thumbnail": f"{image}/thumbnail?size=320&{version}", "file": f"{image}/file?{version}"}
