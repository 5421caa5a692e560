"""The command `clipdex forget`."""

from typing import Annotated

import typer

from . import options
from .console import handle_errors, note, out


@handle_errors
def forget(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="An image or folder, or the URL of one.")
    ],
    drop_labels: Annotated[
        bool, typer.Option("--drop-labels", help="Delete the labels that you gave them, too.")
    ] = False,
    collection: options.Collection = None,
) -> None:
    """Remove an image or a folder from the collection, with all that was made of it.

    The image files are not touched. Later index runs leave the path out; naming it as PATH of
    `clipdex index` adds it again. Labels that you gave are kept until then, by the images' hashes.

    Example: clipdex forget ./photos/private
    """
    from indexer import forget as remove
    from indexer.store.collection import locate

    removed = remove(locate(collection), path, drop_labels=drop_labels, on_note=note)
    out(f"{removed:,} files forgotten")
