"""The commands `clipdex tags ...`."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from indexer.arguments import valid_text

from . import options
from .console import SOME_FILES_FAILED, handle_errors, note, out, out_json

if TYPE_CHECKING:
    from adaptation.sidecars import Skipped

app = typer.Typer(
    help="Labels saved in the collection: your own, and those that heads gave.",
    no_args_is_help=True,
)

Tag = Annotated[str, typer.Argument(metavar="LABEL", help="The label.")]
MinProbability = Annotated[
    float,
    typer.Option(
        min=0, max=1, metavar="P", help="Leave out a head's labels less likely than this."
    ),
]


@app.command()
@handle_errors
def add(
    label: Tag,
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Images or folders, or their URLs.")
    ],
    collection: options.Collection = None,
) -> None:
    """Label indexed images.

    `clipdex adapt train NAME` learns from these labels, and `clipdex search --tag` finds them.
    Two are reserved: "favourite", and "hidden", whose images are left out of every search that does
    not ask for them.

    Example: clipdex tags add pear ./orchard/IMG_0815.jpg

    Example: clipdex tags add hidden ./screenshots
    """
    from indexer.errors import QueryError
    from indexer.store.catalog import write_transaction
    from indexer.store.collection import locate
    from search.labels.saved import contents_at
    from search.labels.tagging import change_tags
    from search.tags import checked_tag

    try:
        label = checked_tag(label)
    except QueryError as exc:
        raise typer.BadParameter(str(exc)) from exc
    with write_transaction(locate(collection), "tags add") as catalog:
        contents = contents_at(catalog, paths)
        change_tags(catalog, contents, add=[label])
    out(f"{label}: {_images(len(contents))}")


@app.command()
@handle_errors
def remove(
    label: Tag,
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PATH...]", help="Images or folders; all images by default."),
    ] = None,
    collection: options.Collection = None,
) -> None:
    """Remove a label from images, whether it is yours or a head's.

    Example: clipdex tags remove pear ./orchard/IMG_0815.jpg
    """
    from indexer.store.catalog import write_transaction
    from indexer.store.collection import locate
    from search.labels.saved import contents_at

    label = valid_text(label)
    with write_transaction(locate(collection), "tags remove") as catalog:
        count = catalog.remove_label(label, contents_at(catalog, paths) if paths else None)
    out(f"{label}: removed from {_images(count)}")


@app.command("list")
@handle_errors
def list_tags(collection: options.Collection = None, as_json: options.Json = False) -> None:
    """List the labels, their origin and the number of images that have them.

    Example: clipdex tags list
    """
    from search import Engine

    with Engine.open(collection) as engine, engine.question():
        for label, origin, count in engine.catalog.label_counts():
            fields = {"label": label, "origin": origin, "images": count}
            if as_json:
                out_json(fields)
            else:
                out(label, f"{count:,}", origin)


@app.command()
@handle_errors
def export(
    as_xmp: Annotated[
        bool, typer.Option("--xmp", help="Sidecars beside the photos, merged with existing ones.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a header.")] = False,
    as_json: options.Json = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --xmp: only print what would be written.")
    ] = False,
    stem: Annotated[
        bool, typer.Option("--stem", help="With --xmp: a.xmp for a.jpg rather than a.jpg.xmp.")
    ] = False,
    min_probability: MinProbability = 0.5,
    collection: options.Collection = None,
) -> None:
    """Export the labels for other programs. Photos are never changed.

    Sidecars contain them as keywords for digiKam, Lightroom and darktable; `clipdex tags undo`
    reverts the last such run.

    Example: clipdex tags export --xmp --dry-run
    """
    if [as_xmp, as_csv, as_json].count(True) != 1:
        raise typer.BadParameter("choose one of --xmp, --csv and --json")

    from indexer.store.paths import path_fields
    from search import Engine
    from search.labels.saved import labels_by_path

    from .results.output import out_csv

    with Engine.open(collection) as engine, engine.question():
        found = labels_by_path(engine.catalog, minimum=min_probability)
        if as_xmp:
            from adaptation.sidecars import Tags, write
            from indexer.arguments import unwritable

            tags: Tags = {
                path: [(one.label,) for one in labels if not unwritable(one.label)]
                for path, labels in found.items()
            }
            names = {one.label for labels in found.values() for one in labels}
            for name in sorted(filter(unwritable, names)):
                note(f"left out the label {name!r}, which XMP cannot hold")
            journal = engine.collection.folder / "sidecars"
            report = write(tags, journal, dry_run=dry_run, naming="stem" if stem else "full")
            would = "would be " if dry_run else ""
            out(
                f"{len(report.created):,} sidecars {would}created, {len(report.merged):,} {would}"
                f"updated, {len(report.unchanged):,} already up to date"
            )
            _skipped(report.skipped)
            return
    if as_csv:
        out_csv("path", "label", "probability", "origin")
    for path, labels in found.items():
        if as_json:
            rows = [
                {"label": one.label, "probability": one.probability, "origin": one.origin}
                for one in labels
            ]
            out_json({**path_fields(path), "labels": rows})
            continue
        for one in labels:
            shown = path.decode("utf-8", "replace")
            out_csv(shown, one.label, f"{one.probability:.6f}", one.origin)


@app.command()
@handle_errors
def undo(collection: options.Collection = None) -> None:
    """Revert the last `export --xmp`: restore changed sidecars and remove new ones.

    Example: clipdex tags undo
    """
    from adaptation.sidecars import undo as revert
    from indexer.store.collection import locate

    report = revert(locate(collection).folder / "sidecars")
    out(f"{len(report.restored):,} sidecars restored, {len(report.removed):,} removed")
    _skipped([*report.left, *report.failed])


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count:,} images"


def _skipped(skipped: "list[Skipped]") -> None:
    from indexer.store.paths import display

    for one in skipped:
        note(f"skipped {display(os.fsencode(one.path))}: {one.reason}")
    if skipped:
        raise typer.Exit(SOME_FILES_FAILED)
