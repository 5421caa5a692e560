"""What clients send; unknown fields, and numbers and texts that make no sense, are refused."""

import base64
import binascii
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from indexer.errors import QueryError
from indexer.store.records import MAX_INTEGER
from search.tags import checked_tag

MAX_HITS = 500
# Of a search, or of a change.
MAX_TAGS = 20
# Images whose tags are changed at once.
MAX_TAGGED = 500
MAX_LISTED_TAGS = 10_000
# Of duplicates.
MAX_GROUPS = 100
# Images of a download.
MAX_DOWNLOADED = 2000
# Of a request to classify: a pass of the encoder.
MAX_TEXTS = 64
THUMBNAIL_SIZES = (160, 320, 640, 1600)
# Images that a query names.
MAX_EXAMPLES = 64
MAX_OFFSET = 10_000_000
MAX_ID = MAX_INTEGER


def _is_text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("not text: it contains a lone surrogate") from None
    return value


def _is_wording(value: str) -> str:
    if not value.strip():
        raise ValueError("an empty text has no label")
    return _is_text(value)


def _as_tag(value: str) -> str:
    try:
        return checked_tag(_is_text(value))
    except QueryError as exc:
        raise ValueError(str(exc)) from None


def _decoded(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None


Text = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_is_text)]
Words = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_is_text)]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_as_tag)]
Wording = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_is_wording)]
Weight = Annotated[float, Field(ge=-10, le=10, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=MAX_HITS)]
Offset = Annotated[int, Field(ge=0, le=MAX_OFFSET)]
ImageId = Annotated[int, Field(ge=1, le=MAX_ID)]
Image = Annotated[
    bytes,
    BeforeValidator(_decoded, json_schema_input_type=str),
    Field(description="An image file's bytes in base64."),
]


def _is_size(value: int) -> int:
    if value not in THUMBNAIL_SIZES:
        raise ValueError(f"one of {', '.join(map(str, THUMBNAIL_SIZES))}")
    return value


ThumbnailSize = Annotated[
    int, AfterValidator(_is_size), Field(json_schema_extra={"enum": list(THUMBNAIL_SIZES)})
]


class Strict(BaseModel):
    """Refuses unknown fields."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


# Conditions of images, as query parameters.
Folders = Annotated[
    list[Text],
    Field(alias="in", max_length=32, description="Only images in these folders, by name."),
]
Since = Annotated[Words | None, Field(description="Taken then or later.", examples=["2024-07"])]
Until = Annotated[Words | None, Field(description="Taken then (all of it) or earlier.")]
Shown = Annotated[
    list[Words],
    Field(max_length=8, description="Only images that show this.", examples=[["cat>0.5"]]),
]
Tagged = Annotated[
    list[Tag],
    Field(
        alias="tag",
        max_length=MAX_TAGS,
        description="Only images that have this tag; `hidden` images only with it.",
        examples=[["favourite"]],
    ),
]
Names = Annotated[
    bool,
    Field(
        description="Read the text as the page does: `name:`, `in:`, `tag:`, `camera:`, `before:`, "
        "`after:` and `on:` are conditions, `-word` steers away; and find, too, the images whose "
        "names, folders, tags or cameras hold its words."
    ),
]


class SearchQuery(Strict):
    """The query parameters of a search."""

    q: Text | None = Field(None, description="What the image shows.", examples=["a red car"])
    without: list[Text] = Field(
        [], alias="not", max_length=32, description="Steer away from these."
    )
    k: Count = Field(20, description="Number of hits.")
    offset: Offset = Field(0, description="Number of hits to skip.")
    folders: Folders = []
    since: Since = None
    until: Until = None
    min_relevance: Share = Field(0.0, description="Minimum estimated probability of a match.")
    label: Shown = []
    tags: Tagged = []
    names: Names = False


class SuggestionsQuery(Strict):
    """A text that is being typed."""

    q: Text = Field("", description="What stands before the cursor.", examples=["boats in:ven"])
    k: int = Field(8, ge=1, le=50, description="Number of suggestions.")


class TimelineQuery(Strict):
    """Which images count."""

    q: Text | None = Field(None, description="Conditions as the page reads them, and nothing else.")

    folders: Folders = []
    since: Since = None
    until: Until = None
    label: Shown = []
    tags: Tagged = []


class Weights(Strict):
    """Weights of the parts of a mixed query."""

    text: Weight = 1.0
    image: Weight = 1.0


class FilterBody(Strict):
    """Which images may be found."""

    folders: list[Text] = Field([], alias="in", max_length=32)
    since: Words | None = None
    until: Words | None = None
    min_relevance: Share = 0.0
    labels: list[Words] = Field([], max_length=8, examples=[["cat>0.5"]])
    tags: list[Tag] = Field([], max_length=MAX_TAGS, examples=[["favourite"]])


class SearchBody(Strict):
    """A search as JSON: a text, an image or both."""

    text: Text | None = Field(None, examples=["a red car"])
    without: list[Text] = Field([], alias="not", max_length=32)
    image: Image | None = None
    image_id: ImageId | None = Field(None, description="An image of the collection.")
    image_ids: list[ImageId] = Field(
        [], max_length=MAX_EXAMPLES, description="Images of the collection."
    )
    unlike_ids: list[ImageId] = Field(
        [],
        max_length=MAX_EXAMPLES,
        description="Images of the collection to steer away from, at half the weight.",
    )
    weights: Weights = Weights()
    k: Count = 20
    offset: Offset = 0
    filter: FilterBody = FilterBody()
    names: Names = False

    @model_validator(mode="after")
    def _one_image(self) -> Self:
        if self.image is not None and self.image_id is not None:
            raise ValueError("image and image_id exclude each other")
        return self


class LabelBody(Strict):
    """Labels to choose from, or a trained head, for one image or for images of the collection."""

    image: Image | None = None
    image_ids: list[ImageId] = Field([], max_length=MAX_HITS)
    labels: list[Words] = Field([], max_length=1000, examples=[["cat", "dog"]])
    head: str | None = Field(
        None, pattern=r"^\w[\w.-]{0,63}$", description="A head that `clipdex adapt train` made."
    )
    templates: list[Words] = Field([], max_length=100, examples=[["a photo of a {}"]])
    top: int = Field(5, ge=1, le=1000)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if (self.image is None) == (not self.image_ids):
            raise ValueError("give either image or image_ids")
        if (self.head is None) == (not self.labels):
            raise ValueError("give either labels or head")
        if self.head is not None and self.templates:
            raise ValueError("templates do not apply to a head, which has learnt its labels")
        return self


class LabelCountBody(Strict):
    """Labels to count."""

    labels: list[Words] = Field(min_length=1, max_length=32, examples=[["cat", "dog"]])
    min_probability: Share = 0.5
    filter: FilterBody = FilterBody()


class TagsQuery(Strict):
    """Which tags to list."""

    prefix: Annotated[str, StringConstraints(max_length=200), AfterValidator(_is_text)] = Field(
        "", description="What the tags begin with, in any case."
    )
    k: int = Field(1000, ge=1, le=MAX_LISTED_TAGS, description="Number of tags.")


class DuplicatesQuery(Strict):
    """Which groups of duplicates."""

    offset: Offset = Field(0, description="Number of groups to skip.")
    k: int = Field(20, ge=1, le=MAX_GROUPS, description="Number of groups.")


class TagsBody(Strict):
    """Tags to add to images and to take from them."""

    image_ids: list[ImageId] = Field(min_length=1, max_length=MAX_TAGGED, examples=[[12, 13]])
    add: list[Tag] = Field([], max_length=MAX_TAGS, examples=[["favourite"]])
    remove: list[Tag] = Field([], max_length=MAX_TAGS, examples=[[]])

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.add and not self.remove:
            raise ValueError("give tags to add, or to remove")
        if len({*self.add, *self.remove}) > MAX_TAGS:
            raise ValueError(f"add and remove have more than {MAX_TAGS} tags")
        if not set(self.add).isdisjoint(self.remove):
            raise ValueError("a tag is in both add and remove")
        return self


class DownloadQuery(Strict):
    """The images of a download, in a URL."""

    ids: str = Field(
        pattern="^[0-9]{1,19}(,[0-9]{1,19})*$",
        max_length=20 * MAX_DOWNLOADED,
        description=f"Ids of up to {MAX_DOWNLOADED:,} images, with commas between them.",
        examples=["12,13"],
    )

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        if len(self.image_ids) > MAX_DOWNLOADED:
            raise ValueError(f"more than {MAX_DOWNLOADED:,} images")
        if not all(1 <= number <= MAX_ID for number in self.image_ids):
            raise ValueError(f"an id is not between 1 and {MAX_ID}")
        return self

    @property
    def image_ids(self) -> list[int]:
        """The ids as numbers."""
        return [int(number) for number in self.ids.split(",")]


class DownloadBody(Strict):
    """The images of a download."""

    image_ids: list[ImageId] = Field(min_length=1, max_length=MAX_DOWNLOADED, examples=[[12, 13]])


class ClassifyTextBody(Strict):
    """Texts for a classifier."""

    name: str = Field(
        pattern=r"^\w[\w.-]{0,63}$", description="A classifier that `clipdex adapt text` made."
    )
    texts: list[Wording] = Field(
        min_length=1, max_length=MAX_TEXTS, examples=[["two boats on the lake"]]
    )
    top: int = Field(5, ge=1, le=1000)


Name = Annotated[str, StringConstraints(pattern=r"^\w[\w.-]{0,63}$")]


class ConceptBody(Strict):
    """Images of the collection that show something, and images that do not."""

    name: Name = Field(examples=["rex"])
    image_ids: list[ImageId] = Field(min_length=1, max_length=MAX_TAGGED)
    unlike_ids: list[ImageId] = Field([], max_length=MAX_TAGGED)


class HeadBody(Strict):
    """A head that is learnt from the tags of the collection."""

    name: Name = Field(examples=["pets"])


class IndexBody(Strict):
    """Folders that an index job reads."""

    paths: list[Text] = Field(
        [],
        max_length=100,
        description="Absolute; all allowed folders when empty.",
    )


class KeyBody(Strict):
    """An API key that opens a session."""

    key: Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(_is_text)]


class EmbeddingsBody(Strict):
    """OpenAI's request: texts, and images as data URLs."""

    input: Annotated[str, AfterValidator(_is_text)] | list[Annotated[str, AfterValidator(_is_text)]]
    model: Text = Field(examples=["pocket"])
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1, le=65536)
    user: Text | None = None

    @property
    def items(self) -> list[str]:
        """The inputs as a list."""
        return [self.input] if isinstance(self.input, str) else self.input
