"""Options that several commands share, each defined once."""

from typing import Annotated

import typer

from . import completion

Collection = Annotated[
    str | None,
    typer.Option(
        "--collection",
        metavar="DIR",
        help="Folder of the collection, or postgresql://user@host/database of one that several "
        "people write. Default: $CLIPDEX_COLLECTION, else a .clipdex folder here "
        "or in a parent folder, else the user's data folder.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
Count = Annotated[int, typer.Option("-k", min=1, metavar="N", help="Number of images.")]
Label = Annotated[
    list[str] | None,
    typer.Option(
        metavar='"L>P"',
        help="Only images that show L (in your words) with a probability above P.",
        autocompletion=completion.labels,
    ),
]
Tag = Annotated[
    list[str] | None,
    typer.Option(
        "--tag",
        metavar="TAG",
        help='Only images that you gave this label; can be repeated. Images tagged "hidden" are '
        "left out unless this is it.",
        autocompletion=completion.tags,
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
    typer.Option(
        metavar="DATE", help="Only images taken then or earlier; 2024-07 includes all of July."
    ),
]
Languages = Annotated[
    str | None,
    typer.Option(
        metavar="CODES",
        help="Codes of the languages that you search in, such as zh,de.",
        show_default="en",
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERN", help="Leave out files and folders by gitignore's rules."),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Number of images to decode at once.", show_default="one per core"
    ),
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
        help="A caption with {} in place of the label; can be repeated, and is averaged.",
        show_default="a photo of a {}",
    ),
]
BaseModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="The model to start from.",
        show_default="the collection's own, else pocket",
        autocompletion=completion.models,
    ),
]
TrainingDevice = Annotated[
    str,
    typer.Option("--device", metavar="D", help="auto, cpu, cuda or mps; cuda:1 for the second."),
]
# scikit-learn's seeds have 32 bits.
Seed = Annotated[
    int,
    typer.Option(
        min=0, max=2**32 - 1, metavar="N", help="Seed of splits, order and random weights."
    ),
]
Collapse = Annotated[
    bool, typer.Option("--collapse", help="Show only the best of several near-duplicates.")
]
Threshold = Annotated[
    float | None,
    typer.Option(
        min=0.5,
        max=1.0,
        metavar="S",
        help="Minimum similarity of near-duplicates: the correlation of the aligned images.",
        show_default="0.92",
    ),
]


def check_templates(templates: list[str] | None) -> None:
    """Check that every template has a place for the label.

    Raises:
        typer.BadParameter: One has none.
    """
    if any("{}" not in one for one in templates or ()):
        raise typer.BadParameter("a template needs {} where the label goes")
