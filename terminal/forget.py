"""The command `clipdex forget`."""

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .console import handle_errors, out


@handle_errors
def forget(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="An image or folder.")],
    collection: options.Collection = None,
) -> None:
    """Remove an image or a folder from the collection.

    The image files are not touched; index the folder again to add them back.

    Example: clipdex forget ./photos/private
    """
    from indexer import forget as remove
    from indexer.store.collection import locate

    removed = remove(locate(collection), path)
    out(f"{removed:,} files forgotten")
