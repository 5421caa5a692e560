"""Finds the images that were taken with what a user calls a camera or a lens."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # loads NumPy, which a request to a running server does not need
    from indexer.store.codec import Ids
    from indexer.store.protocol import StoreReader


def contents_by_camera(catalog: "StoreReader", text: str, *, whole: bool = False) -> "Ids":
    """Return the contents `(n,)`, ascending, whose camera or lens has these words in its name.

    Args:
        catalog: The collection's catalog.
        text: The words, one after the other, in any case; "24-105" is in "RF24-105mm".
        whole: Whether they have to be whole words, and not parts of words.
    """
    from indexer.store.paths import words_of

    wanted = " ".join(words_of(text))
    edge = " " if whole else ""
    return catalog.contents_by_camera(
        [
            number
            for number, name in catalog.cameras()
            if wanted and f"{edge}{wanted}{edge}" in f" {' '.join(words_of(name))} "
        ]
    )
