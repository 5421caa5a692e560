"""The commands `clipdex search` and `clipdex similar`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .console import handle_errors
from .process import answer_once
from .query_images import STANDARD_INPUT, with_standard_input

if TYPE_CHECKING:
    from search.filters.filter import Filter
    from search.hits import Results
    from search.query_text import QueryText
    from search.request import SearchRequest

    from .results.output import Form
    from .results.preview import Protocol


Html = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="FILE", help="Also write the hits as one page with small images in it."
    ),
]
Preview = Annotated[
    bool,
    typer.Option(
        "--preview/--no-preview",
        help="Show the images in the terminal, if it can. The way is found by the terminal's "
        "name; CLIPDEX_PREVIEW=kitty, iterm2 or sixel says it for others.",
    ),
]
Open = Annotated[bool, typer.Option("--open", help="Also show the hits as a page in the browser.")]


@handle_errors
def search(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT...", help="What the image shows, in your words."),
    ] = None,
    images: Annotated[
        list[str] | None,
        typer.Option(
            "--image",
            metavar="FILE",
            help="Look for images like this one, a file or a URL; - is the image on standard "
            "input. Can be repeated.",
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option("--not", metavar="TEXT", help="Steer away from this."),
    ] = None,
    unlike: Annotated[
        list[str] | None,
        typer.Option("--not-image", metavar="FILE", help="Steer away from images like this one."),
    ] = None,
    weight: Annotated[
        float,
        typer.Option(
            metavar="W", help="Weight of each image beside the text's, which is 1.", min=0, max=100
        ),
    ] = 1.0,
    k: options.Count = 10,
    offset: Annotated[int, typer.Option(min=0, metavar="N", help="Skip the best N.")] = 0,
    min_relevance: options.MinRelevance = 0.0,
    folders: options.Folders = None,
    since: options.Since = None,
    until: options.Until = None,
    exclude: options.Exclude = None,
    label: options.Label = None,
    tag: options.Tag = None,
    names: Annotated[
        bool,
        typer.Option(
            "--names",
            help="Find, too, images whose file, folder, tag or camera has the words in its name.",
        ),
    ] = False,
    collapse: options.Collapse = False,
    collection: options.Collection = None,
    as_json: options.Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a header.")] = False,
    paths: Annotated[bool, typer.Option("--paths", help="Paths only, one per line.")] = False,
    print0: Annotated[
        bool, typer.Option("--print0", help="Paths only, each ended by a NUL byte.")
    ] = False,
    sheet: Html = None,
    show: Open = False,
    preview: Preview = False,
) -> None:
    """Find images by what they show.

    Texts and images can be mixed: their vectors are added, and those of --not subtracted. Each hit
    has a relevance, the estimated probability that it is what you asked for. The date of an image
    is when it was taken, as it or its name says; else when its file last changed. Without a text
    and an image, those that meet the other conditions are listed, the newest first.

    Conditions may stand in the text: name:, in:, tag:, camera:, before:, after: and on: before a
    value, in quotation marks where it has spaces; in quoted text, -word steers away from it, and
    -tag:x leaves out what has that tag. They compare the beginnings of words, in any case and with
    any accents.

    Example: clipdex search a dog on a beach --not people -k 5

    Example: clipdex search --label "dog>0.8" --since 7d

    Example: clipdex search --tag favourite --tag Italy

    Example: clipdex search a dog on a beach -k 60 --open

    Example: clipdex search a dog on a beach -k 3 --preview

    Example: clipdex search two boats in:venice camera:canon after:2023

    Example: clipdex search a church --in Italy --since 2024-07 --until 2024-08
    """
    answer_once()
    text = " ".join(words or [])
    if not text.strip() and not images:
        if without or unlike or min_relevance:
            raise typer.BadParameter(
                "--not, --not-image and --min-relevance need a text, or an --image"
            )
        if not (folders or since or until or exclude or label or tag):
            raise typer.BadParameter(
                "give a text, an image with --image, or a condition such as --label or --in"
            )
    form = _form(as_json, as_csv, paths, print0)
    protocol = _protocol(form) if preview else None
    from search.query_text import parse
    from search.request import SearchRequest

    said = parse(text)
    request = SearchRequest(
        said.text,
        images=with_standard_input(images),
        without=(*(without or ()), *said.without),
        unlike=with_standard_input(unlike),
        image_weight=weight,
        filter=_narrowed(said, _filter(folders, since, until, exclude, tag)),
        labels=_labels(label),
        k=k,
        offset=offset,
        collapse=collapse,
        min_relevance=min_relevance,
        names=names,
    )
    results = _from_server(collection, request)
    if results is None:
        from search import Engine

        with Engine.open(collection) as engine:
            results = engine.results(request)
    _show(results, text or "Images", sheet, show)
    from .results.output import write_results

    write_results(results, form, scored=not request.lists, protocol=protocol)


@handle_errors
def similar(
    image: Annotated[
        str,
        typer.Argument(
            metavar="IMAGE",
            help="An image or its URL, indexed or not; - is the image on standard input.",
        ),
    ],
    k: options.Count = 10,
    min_relevance: options.MinRelevance = 0.0,
    folders: options.Folders = None,
    since: options.Since = None,
    until: options.Until = None,
    exclude: options.Exclude = None,
    label: options.Label = None,
    tag: options.Tag = None,
    collapse: options.Collapse = False,
    collection: options.Collection = None,
    as_json: options.Json = False,
    sheet: Html = None,
    show: Open = False,
    preview: Preview = False,
) -> None:
    """Find the images most like a given one.

    The image itself is left out; if the collection holds it, that is said first.

    Example: clipdex similar holiday.jpg -k 20

    Example: clipdex similar https://example.org/tower.jpg
    """
    answer_once()
    form = _form(as_json, False, False, False)
    protocol = _protocol(form) if preview else None

    from search import Engine
    from search.request import SearchRequest

    from .results.output import Form, write_copies, write_results

    request = SearchRequest(
        k=k,
        min_relevance=min_relevance,
        filter=_filter(folders, since, until, exclude, tag),
        labels=_labels(label),
        collapse=collapse,
    )

    (asked,) = with_standard_input([image])
    with Engine.open(collection) as engine:
        given = engine.read(asked)
        results = engine.similar_results(given, request)
        copies = engine.copies_of(given) if form is Form.TABLE else []
    _show(results, f"Like {_title(image)}", sheet, show)
    write_copies(copies)
    write_results(results, form, besides=bool(copies), protocol=protocol)


def _title(image: str) -> str:
    return (
        "the image on standard input"
        if image == STANDARD_INPUT
        else os.path.basename(image.partition("?")[0])
    )


def _show(results: "Results", title: str, file: Path | None, show: bool) -> None:
    """Write the hits as a page, and open it, if either is wanted."""
    if file is None and not show:
        return
    from search.contact_sheet import write_contact_sheet

    path = write_contact_sheet(results, title, file)
    if show:
        import webbrowser

        from .console import note

        if not webbrowser.open(path.absolute().as_uri()):
            note(f"no browser could be opened: the page is {path}")


def _from_server(collection: str | None, request: "SearchRequest") -> "Results | None":
    """Return the results of a running server of this collection, if there is one."""
    from indexer.store.collection import locate
    from search.socket_path import socket_path

    folder = locate(collection).folder
    path = socket_path(folder)
    if path is None or not path.exists():
        return None
    from search.client import ask_server

    return ask_server(folder, request)


def _filter(
    folders: list[str] | None,
    since: str | None,
    until: str | None,
    exclude: list[str] | None,
    tags: list[str] | None,
) -> "Filter | None":
    if not (folders or exclude or tags) and since is None and until is None:
        return None
    from indexer.errors import QueryError
    from search.filters.filter import Filter

    try:
        return Filter(folders or (), since, until, exclude or (), tags=tags or ())
    except QueryError as exc:
        raise typer.BadParameter(str(exc)) from exc


def _narrowed(said: "QueryText", given: "Filter | None") -> "Filter | None":
    from indexer.errors import QueryError

    try:
        return said.narrow(given)
    except QueryError as exc:
        raise typer.BadParameter(str(exc)) from exc


def _labels(texts: list[str] | None) -> list[tuple[str, float]]:
    from indexer.errors import QueryError
    from search.request import parse_label_threshold

    try:
        return [parse_label_threshold(text) for text in texts or ()]
    except QueryError as exc:
        raise typer.BadParameter(f"--label {exc}") from exc


def _protocol(form: "Form") -> "Protocol":
    """Return how images are shown.

    Raises:
        typer.BadParameter: They cannot be, here or in this form.
    """
    from .results.output import Form
    from .results.preview import PreviewImpossible, protocol

    if form is not Form.TABLE:
        raise typer.BadParameter(f"--preview shows images, and --{form.value} prints none")
    try:
        return protocol()
    except PreviewImpossible as exc:
        raise typer.BadParameter(f"--preview {exc}") from exc


def _form(as_json: bool, as_csv: bool, paths: bool, print0: bool) -> "Form":
    from .results.output import Form

    asked = [
        form
        for form, wanted in (
            (Form.JSON, as_json),
            (Form.CSV, as_csv),
            (Form.PATHS, paths),
            (Form.PRINT0, print0),
        )
        if wanted
    ]
    if len(asked) > 1:
        raise typer.BadParameter("choose one of --json, --csv, --paths and --print0")
    return asked[0] if asked else Form.TABLE
