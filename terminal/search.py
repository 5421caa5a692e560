"""The commands `clipdex search` and `clipdex similar`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .console import handle_errors
from .process import answer_once

if TYPE_CHECKING:
    from search.filters.filter import Filter
    from search.hits import Results
    from search.request import SearchRequest

    from .output import Form


@handle_errors
def search(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT...", help="What the image shows, in your words."),
    ] = None,
    images: Annotated[
        list[str] | None,
        typer.Option(
            "--image", metavar="FILE", help="Look for images like this one; can be repeated."
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option("--not", metavar="TEXT", help="Steer away from this."),
    ] = None,
    k: options.Count = 10,
    offset: Annotated[int, typer.Option(min=0, metavar="N", help="Skip the best N.")] = 0,
    min_relevance: options.MinRelevance = 0.0,
    folders: options.Folders = None,
    since: options.Since = None,
    until: options.Until = None,
    exclude: options.Exclude = None,
    label: options.Label = None,
    collapse: options.Collapse = False,
    collection: options.Collection = None,
    as_json: options.Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a header.")] = False,
    paths: Annotated[bool, typer.Option("--paths", help="Paths only, one per line.")] = False,
    print0: Annotated[
        bool, typer.Option("--print0", help="Paths only, each ended by a NUL byte.")
    ] = False,
) -> None:
    """Find images by what they show.

    Texts and images can be mixed: their vectors are added, and those of --not subtracted. Each hit
    has a relevance, the estimated probability that it is what you asked for. The date of an image
    is when it was taken or, if it does not say, when its file last changed. Without a text and an
    image, those that meet the other conditions are listed, the newest first.

    Example: clipdex search a dog on a beach --not people -k 5

    Example: clipdex search --label "dog>0.8" --since 7d

    Example: clipdex search a church --in Italy --since 2024-07 --until 2024-08
    """
    answer_once()
    text = " ".join(words or [])
    if not text.strip() and not images:
        if without or min_relevance:
            raise typer.BadParameter("--not and --min-relevance need a text, or an --image")
        if not (folders or since or until or exclude or label):
            raise typer.BadParameter(
                "give a text, an image with --image, or a condition such as --label or --in"
            )
    form = _form(as_json, as_csv, paths, print0)
    from search.request import SearchRequest

    request = SearchRequest(
        text,
        images=images or (),
        without=without or (),
        filter=_filter(folders, since, until, exclude),
        labels=_labels(label),
        k=k,
        offset=offset,
        collapse=collapse,
        min_relevance=min_relevance,
    )
    results = _from_server(collection, request)
    if results is None:
        from search import Engine

        with Engine.open(collection) as engine:
            results = engine.results(request)
    from .output import write_results

    write_results(results, form, scored=not request.lists)


@handle_errors
def similar(
    image: Annotated[
        str, typer.Argument(metavar="IMAGE", help="An image or its URL, indexed or not.")
    ],
    k: options.Count = 10,
    min_relevance: options.MinRelevance = 0.0,
    folders: options.Folders = None,
    since: options.Since = None,
    until: options.Until = None,
    exclude: options.Exclude = None,
    label: options.Label = None,
    collapse: options.Collapse = False,
    collection: options.Collection = None,
    as_json: options.Json = False,
) -> None:
    """Find the images most like a given one.

    The image itself is left out; if the collection holds it, that is said first.

    Example: clipdex similar holiday.jpg -k 20
    """
    answer_once()
    form = _form(as_json, False, False, False)

    from search import Engine
    from search.request import SearchRequest

    from .output import Form, write_copies, write_results

    request = SearchRequest(
        k=k,
        min_relevance=min_relevance,
        filter=_filter(folders, since, until, exclude),
        labels=_labels(label),
        collapse=collapse,
    )

    with Engine.open(collection) as engine:
        results = engine.similar_results(image, request)
        copies = engine.copies_of(image) if form is Form.TABLE else []
    write_copies(copies)
    write_results(results, form, besides=bool(copies))


def _from_server(collection: Path | None, request: "SearchRequest") -> "Results | None":
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
    folders: list[str] | None, since: str | None, until: str | None, exclude: list[str] | None
) -> "Filter | None":
    if not (folders or exclude) and since is None and until is None:
        return None
    from indexer.errors import QueryError
    from search.filters.filter import Filter

    try:
        return Filter(folders or (), since, until, exclude or ())
    except QueryError as exc:
        raise typer.BadParameter(str(exc)) from exc


def _labels(texts: list[str] | None) -> list[tuple[str, float]]:
    from indexer.errors import QueryError
    from search.request import parse_label_threshold

    try:
        return [parse_label_threshold(text) for text in texts or ()]
    except QueryError as exc:
        raise typer.BadParameter(f"--label {exc}") from exc


def _form(as_json: bool, as_csv: bool, paths: bool, print0: bool) -> "Form":
    from .output import Form

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
