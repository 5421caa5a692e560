"""Images that the words of a query name: by file, folder, tag, or camera and lens."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from indexer.store.codec import Ids
from indexer.store.paths import found_in, words_of
from indexer.store.protocol import StoreReader
from indexer.store.records import Words
from search.filters.cameras import contents_by_camera
from search.hits import PLACES

# Further words of a text are not looked up.
MAX_WORDS = 16
# A word that names more images says nothing about one of them, nor does one that names most.
MAX_IMAGES = 20_000
MAX_SHARE = 0.5
# What a place is worth beside the others: people choose tags, cameras number files, and a folder
# holds all kinds of images.
WORTH = {"tag": 3.0, "name": 2.0, "camera": 2.0, "folder": 1.0}  # of PLACES, in their order
# What an image has to hold of a text, by the rarity of its words, to be found by its name alone.
MIN_SHARE = 0.5
# Words that stand in questions and say nothing by themselves.
COMMON = frozenset(
    words_of(
        "a an and are at by for from her his i image images in is it its my of on or our photo "
        "photos picture pictures that the their this to was we with your"
    )
)


@dataclass(frozen=True)
class Named:
    """The images that a text's words name.

    Attributes:
        ids: `(n,)`, ascending.
        worth: `(n,)`: the sum over the words of how rare each is and where it stands.
        share: `(n,)`: how much of what the text says they hold, from 0 to 1: the rare words of it
            weigh more, and those that no image is named by most.
        places: `(n,)`: a bit for each of PLACES where a word stands.
    """

    ids: Ids
    worth: NDArray[np.float64]
    share: NDArray[np.float64]
    places: NDArray[np.int64]

    @property
    def count(self) -> int:
        """How many images are found by their names alone."""
        return int((self.share >= MIN_SHARE).sum())

    def places_of(self, number: int) -> tuple[str, ...]:
        """Return where the words stand by which an image is found."""
        at = int(np.searchsorted(self.ids, number))
        if at == len(self.ids) or self.ids[at] != number or self.share[at] < MIN_SHARE:
            return ()
        return tuple(place for bit, place in enumerate(PLACES) if self.places[at] >> bit & 1)


def named(catalog: StoreReader, text: str) -> Named:
    """Find the images that words of a text name, each as a whole word.

    A word weighs the more the fewer images it names (its inverse document frequency), and counts
    once for an image, where it is worth most.
    """
    total = catalog.image_count()
    most = int(min(MAX_IMAGES, max(1, MAX_SHARE * total)))
    parts: list[tuple[Ids, float, float, int]] = []  # ids, worth, rarity, bit of the place
    said = 0.0
    labels = [label for label, _ in catalog.own_label_counts()]
    for word in _telling(text):
        found = _by_place(catalog, word, labels, most)
        count = len(_joined(found))
        if count > most:
            continue
        rarity = math.log(1 + total / max(count, 1))
        said += rarity
        seen: Ids = np.empty(0, dtype=np.int64)
        for bit, (place, ids) in enumerate(zip(PLACES, found, strict=True)):
            parts.append((np.setdiff1d(ids, seen), rarity * WORTH[place], rarity, 1 << bit))
            parts.append((np.intersect1d(ids, seen), 0.0, 0.0, 1 << bit))
            seen = np.union1d(seen, ids)
    ids, at = np.unique(
        np.concatenate([np.empty(0, dtype=np.int64), *(part[0] for part in parts)]),
        return_inverse=True,
    )
    sizes = [len(part[0]) for part in parts]
    worth, share, places = np.zeros(len(ids)), np.zeros(len(ids)), np.zeros(len(ids), np.int64)
    np.add.at(worth, at, _repeated([part[1] for part in parts], sizes, np.float64))
    np.add.at(share, at, _repeated([part[2] for part in parts], sizes, np.float64))
    np.bitwise_or.at(places, at, _repeated([part[3] for part in parts], sizes, np.int64))
    return Named(ids, worth, share / said if said else share, places)


def _repeated(values: Sequence[float], sizes: Sequence[int], dtype: Any) -> NDArray[Any]:
    return np.repeat(np.array(values, dtype=dtype), np.array(sizes, dtype=np.int64))


def _telling(text: str) -> Iterator[str]:
    """Yield the words to look up, each once; "IMG_2034" is one, of two parts."""
    known = set()
    for word in islice(text.split(), MAX_WORDS):
        parts = tuple(words_of(word))
        if parts and parts not in known and not (len(parts) == 1 and parts[0] in COMMON):
            known.add(parts)
            yield " ".join(parts)


def _by_place(catalog: StoreReader, word: str, labels: Sequence[str], most: int) -> list[Ids]:
    """Return the contents that a word names, ascending, for each of PLACES; some if too many.

    Args:
        catalog: The collection's catalog.
        word: The word.
        labels: All that the user gave.
        most: How many contents are too many.
    """
    forms = _forms(word)
    named_so = [one for one in labels if any(found_in(form, one, whole=True) for form in forms)]
    return [
        _joined(catalog.contents_with_own_label(label) for label in named_so),
        _in_paths(catalog, forms, "name", most),
        _joined(contents_by_camera(catalog, form, whole=True) for form in forms),
        _in_paths(catalog, forms, "folder", most),
    ]


def _in_paths(
    catalog: StoreReader, forms: Sequence[str], place: Literal["name", "folder"], most: int
) -> Ids:
    if not catalog.knows_words:
        return _joined(())
    return _joined(
        catalog.contents_named(Words(form, place, whole=True), most + 1) for form in forms
    )


def _joined(parts: Iterable[Ids]) -> Ids:
    """Return all ids of several arrays, ascending, each once."""
    return np.unique(np.concatenate([np.empty(0, dtype=np.int64), *parts]))


def _forms(word: str) -> list[str]:
    """Return a word and its other number in English: "dog" and "dogs"."""
    if not word.isalpha() or len(word) < 3:
        return [word]
    if word.endswith("s"):
        return [word, word[:-1]]
    return [word, f"{word}s"]
