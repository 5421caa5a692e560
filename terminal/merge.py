"""The command `clipdex merge`."""

from dataclasses import asdict
from typing import Annotated

import typer

from . import options
from .console import handle_errors, note, out, out_json


@handle_errors
def merge(
    sources: Annotated[
        list[str], typer.Argument(metavar="COLLECTION...", help="Collections of one model.")
    ],
    into: Annotated[
        str,
        typer.Option(
            metavar="DIR",
            help="The collection, a folder or a URL, that they are added to; made if missing.",
        ),
    ],
    as_json: options.Json = False,
) -> None:
    """Join collections, such as those that several machines made of one folder.

    Every image is there once in the end, with all of its files and labels; the collections stay as
    they are. `clipdex index --shard 1/4` makes one of four.

    Example: clipdex merge part-1 part-2 part-3 part-4 --into photos.clipdex
    """
    from indexer.merge_collections import merge as join
    from indexer.store.collection import locate

    report = join(
        [locate(source) for source in sources],
        locate(into),
        lambda name, done, of: note(f"{name}: {done:,} of {of:,} images") if done == of else None,
    )
    if as_json:
        out_json(asdict(report))
    else:
        out(
            f"{report.images:,} images added, {report.known:,} were there already, "
            f"{report.files:,} files"
        )
