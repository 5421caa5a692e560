"""The images of a query as they are named on the command line; - is the one on standard input."""

import sys
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:  # loads NumPy and Pillow, which other searches may not need
    from search.ranking.image_query import NamedImage

STANDARD_INPUT = "-"
NAME = "standard input"


def with_standard_input(images: Iterable[str] | None) -> "list[str | NamedImage]":
    """Return images with the bytes of standard input in the place of each -.

    Raises:
        typer.BadParameter: Standard input is a terminal.
        ImageError: It is closed, empty or too large.
    """
    return [_read() if image == STANDARD_INPUT else image for image in images or ()]


@cache  # there is nothing more to read for a second one
def _read() -> "NamedImage":
    from indexer.errors import ImageError
    from indexer.images.decode import Limits, check_size
    from search.ranking.image_query import NamedImage

    if sys.stdin is None:
        raise ImageError(f"{NAME} is closed: pipe an image into the command")
    if sys.stdin.isatty():
        raise typer.BadParameter(
            "- is the image on standard input, which is a terminal here: pipe an image into the "
            "command, or name a file or a URL"
        )
    limits = Limits()
    data = sys.stdin.buffer.read(limits.max_bytes + 1)
    if not data:
        raise ImageError(f"{NAME} is empty: pipe an image into the command")
    try:
        check_size(len(data), limits)
    except ImageError as exc:
        raise type(exc)(f"{NAME}: {exc}") from exc
    return NamedImage(data, NAME)
