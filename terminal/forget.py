"""`clipdex forget`"""

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .console import guarded, out


@guarded
def forget(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="An image or folder.")],
    collection: options.Collection = None,
) -> None:
    """Take an image or a folder out of the collection.

    The photos stay; index the folder again to take them back in.

    Example: clipdex forget ./photos/private
    """
    from indexer import forget as remove
    from indexer.store.collection import locate

    removed = remove(locate(collection), path)
    out(f"{removed:,} files forgotten")
