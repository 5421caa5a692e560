"""Options that several commands share, each written once."""

from pathlib import Path
from typing import Annotated

import typer

Collection = Annotated[
    Path | None,
    typer.Option(
        "--collection",
        help="The index's folder. Else $CLIPDEX_COLLECTION, a .clipdex folder here or above, or "
        "the user's data folder.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
Count = Annotated[int, typer.Option("-k", min=1, metavar="N", help="How many images.")]
Label = Annotated[
    list[str] | None,
    typer.Option(
        metavar='"L>P"',
        help="Only images that show L, in any words, with more than this probability.",
    ),
]
MinRelevance = Annotated[
    float,
    typer.Option(
        min=0, max=1, metavar="R", help="Only images that match with at least this probability."
    ),
]
Folders = Annotated[
    list[str] | None,
    typer.Option(
        "--in", metavar="FOLDER", help="Only images in this folder: a path, or a folder's name."
    ),
]
Since = Annotated[
    str | None,
    typer.Option(metavar="DATE", help="Only images taken then or later: 2024-07, 7d, yesterday."),
]
Until = Annotated[
    str | None,
    typer.Option(metavar="DATE", help="Only images taken then (all of it) or earlier."),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(metavar="GLOB", help="Leave out files and folders of this name or path."),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Images decoded at once.", show_default="one a core"),
]
MaxPixels = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Largest image to decode.", show_default="200 megapixels"
    ),
]
MaxBytes = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Largest file to read.", show_default="256 MiB"),
]
Templates = Annotated[
    list[str] | None,
    typer.Option(
        "--template",
        metavar="T",
        help="How a caption would put it, {} standing for the label; several are averaged.",
        show_default="a photo of a {}",
    ),
]
Collapse = Annotated[
    bool, typer.Option("--collapse", help="Show near-duplicates once, as the best of them.")
]
Threshold = Annotated[
    float | None,
    typer.Option(
        min=0.5,
        max=1.0,
        metavar="S",
        help="Least similarity of near-duplicates, a correlation of the images aligned with each "
        "other.",
        show_default="0.92",
    ),
]


def check_templates(templates: list[str] | None) -> None:
    """Raise BadParameter for a template without a place for the label."""
    if any("{}" not in one for one in templates or ()):
        raise typer.BadParameter("a template needs {} where the label goes")
