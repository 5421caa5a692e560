"""What a search asks for: the one form that the command, HTTP, the warm client and Python build.

Imports nothing large: a command that asks a running server loads neither NumPy nor FAISS.
"""

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexer.arguments import several, valid_text
from indexer.errors import QueryError
from indexer.store.paths import is_remote

if TYPE_CHECKING:  # a search without conditions does not load it
    from search.filters.filter import Filter

# Only the ratio of the weights counts; vectors are summed in single precision.
MAX_WEIGHT = 1e6


@dataclass(frozen=True)
class SearchRequest:
    """A search, checked when it is made.

    Where several texts or images may be given, one is as good as a list of one.

    Args:
        text: What the images show, in the user's words.
        images: What the images look like: files or URLs, the bytes of files, or ids of hits. An
            image that is named by its id is left out of the answer.
        without: Texts whose vectors are subtracted from the query's.
        unlike: Images, as `images`, whose vectors are subtracted, at half the weight.
        text_weight: Weight of the text in the sum.
        image_weight: Weight of each image in the sum.
        filter: Which images may be answered with. The first paths of a hit are those of its files
            that pass.
        labels: (label, p) pairs; an image passes when it shows each label with an estimated
            probability above p.
        k: Number of hits.
        offset: Number of hits to skip.
        collapse: Show near-duplicates as one hit, the best of them; k and offset count groups.
        min_relevance: Minimum estimated probability of a match, in [0, 1].
        names: Find, too, what the text's words name: files, folders, tags and cameras. The two
            lists become one by reciprocal rank; with a minimum relevance, only the images that
            show the text are found.

    Raises:
        QueryError: A number is out of its range.
    """

    text: str | None = None
    images: Sequence[Path | str | bytes | int] = ()
    without: Sequence[str] = ()
    unlike: Sequence[Path | str | bytes | int] = ()
    text_weight: float = 1.0
    image_weight: float = 1.0
    filter: "Filter | None" = None
    labels: Sequence[tuple[str, float]] = ()
    k: int = 10
    offset: int = 0
    collapse: bool = False
    min_relevance: float = 0.0
    names: bool = False

    def __post_init__(self) -> None:
        for name, value in (
            ("images", tuple(map(_image, several(self.images)))),
            ("unlike", tuple(map(_image, several(self.unlike)))),
            ("text", None if self.text is None else valid_text(self.text)),
            ("without", tuple(map(valid_text, several(self.without)))),
            ("labels", _pairs(self.labels)),
            ("k", _whole("k", self.k)),
            ("offset", _whole("offset", self.offset)),
        ):
            object.__setattr__(self, name, value)
        if self.k < 1 or self.offset < 0:
            raise QueryError(
                f"k must be at least 1 and offset at least 0, not {self.k} and {self.offset}"
            )
        if not 0 <= self.min_relevance <= 1:
            raise QueryError(
                f"the minimum relevance must be between 0 and 1, not {self.min_relevance}"
            )
        for name, weight in (("text", self.text_weight), ("image", self.image_weight)):
            if not (math.isfinite(weight) and abs(weight) <= MAX_WEIGHT):
                raise QueryError(
                    f"the weight of the {name} must be a number up to {MAX_WEIGHT:,.0f}, not "
                    f"{weight}"
                )

    @property
    def lists(self) -> bool:
        """Whether nothing is looked for, and the images that meet the conditions are listed."""
        wanted = (self.text or "").strip() or self.images or self.without or self.unlike
        return not (wanted or self.min_relevance) and bool(self.filter or self.labels)

    def require_query(self) -> None:
        """Raise QueryError when there is neither a text nor an image to look for."""
        if not (self.text or "").strip() and not self.images:
            raise QueryError(
                "nothing to search for: give a text or an image, or only conditions (folder, date, "
                "label) for the newest images"
            )

    @property
    def ids(self) -> list[int]:
        """The ids among `images` and then `unlike`, all of which the answer leaves out."""
        return [image for image in (*self.images, *self.unlike) if isinstance(image, int)]


def _whole(name: str, value: int) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise QueryError(f"{name} must be a whole number, not {value!r}") from None


def _pairs(labels: Any) -> tuple[tuple[str, float], ...]:
    if isinstance(labels, str):
        raise TypeError(f'labels are pairs such as [("cat", 0.5)], not the text {labels!r}')
    found = []
    for pair in labels:
        if isinstance(pair, str) or len(pair) != 2:
            raise TypeError(f'a label is a pair such as ("cat", 0.5), not {pair!r}')
        label, probability = pair
        if not 0 <= probability <= 1:
            raise QueryError(f"the label {label!r} needs a probability between 0 and 1")
        found.append((valid_text(label), probability))
    return tuple(found)


def parse_label_threshold(text: str) -> tuple[str, float]:
    """Parse `LABEL>P`; P is one half where it is missing.

    Returns:
        The label and the probability.

    Raises:
        QueryError: The label is empty, or P is not a number between 0 and 1.
    """
    label, found, number = text.rpartition(">")
    if not found:
        label, number = text, "0.5"
    try:
        probability = float(number)
    except ValueError:
        probability = -1.0
    if not label.strip() or not 0 <= probability <= 1:
        raise QueryError(f'{text!r}: expected "LABEL>P" with P from 0 to 1')
    return label.strip(), probability


def _image(given: Path | str | bytes | int) -> Path | str | bytes | int:
    """Return a file as a path, and what else stands for an image as it is."""
    return Path(given) if isinstance(given, str) and not is_remote(given) else given
