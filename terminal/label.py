"""`clipdex label`"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .console import SOME_FILES_FAILED, guarded, note, out

if TYPE_CHECKING:
    from search.labels import Labelled


@guarded
def label(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH...",
            help="Pictures or folders, indexed or not; the whole collection otherwise.",
        ),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(metavar='"A,B"', help="The labels, separated by commas.")
    ] = None,
    labels_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The labels, one a line.")
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="A head that `clipdex adapt train` made, in their place."
        ),
    ] = None,
    save: Annotated[
        bool,
        typer.Option(
            "--save",
            help="Keep each picture's best label in the collection, in place of those that this "
            "head gave before.",
        ),
    ] = False,
    template: options.Templates = None,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Best labels to show.")] = 5,
    workers: options.Workers = None,
    collection: options.Collection = None,
    as_json: options.Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a header.")] = False,
) -> None:
    """Say which of your labels each picture shows.

    Zero-shot: any words will do, nothing is trained. Several --template are averaged. With --head
    by what was learnt from your examples. Where none of the labels fits, "none of these" comes
    first, with its own probability.

    Example: clipdex label ./photos --labels "cat,dog,neither" --csv

    Example: clipdex label --head machine-parts --save
    """
    if [labels, labels_file, head].count(None) != 2:
        raise typer.BadParameter("name the labels with one of --labels, --labels-file and --head")
    if as_json and as_csv:
        raise typer.BadParameter("choose one of --json and --csv")
    if head is not None:
        if template:
            raise typer.BadParameter("a head has learnt its labels: --template does not change it")
        _write(_by_head(head, paths, top, workers, collection, save), as_json, as_csv)
        return
    if save:
        raise typer.BadParameter("--save keeps what a head says: name one with --head")
    names = _read(labels_file) if labels_file else (labels or "").split(",")
    if not any(name.strip() for name in names):
        raise typer.BadParameter("there are no labels in it")
    options.check_templates(template)

    from indexer import load_encoder
    from indexer.collection import locate
    from indexer.cores import available_cores
    from search import Engine
    from search.labels import Labeller, label_collection, label_files

    if paths and not locate(collection).exists:
        encoder = load_encoder(threads=available_cores())
        labeller = Labeller(encoder, names, template or ())
        _write(label_files(paths, labeller, encoder, top=top, workers=workers), as_json, as_csv)
        return
    with Engine.open(collection) as engine:
        encoder = load_encoder(
            engine.model.name, fingerprint=engine.model.fingerprint, threads=available_cores()
        )
        labeller = Labeller(encoder, names, template or ())
        if paths:
            labelled = label_files(
                paths, labeller, encoder, top=top, engine=engine, workers=workers
            )
        else:
            labelled = label_collection(engine, labeller, top=top)
        _write(labelled, as_json, as_csv)


def _by_head(
    name: str,
    paths: list[Path] | None,
    top: int,
    workers: int | None,
    collection: Path | None,
    save: bool,
) -> "Iterator[Labelled]":
    from indexer.collection import locate
    from search import Engine
    from search.heads import find_head
    from search.labels import label_collection, label_files

    if save and paths:
        raise typer.BadParameter("--save keeps labels of the whole collection: leave out PATH")
    place = locate(collection)
    head = find_head(place.folder, name)
    if not place.exists and paths:
        from indexer import load_encoder
        from indexer.cores import available_cores

        encoder = load_encoder(threads=available_cores())
        head.artifact.require(encoder.fingerprint, "pocket")
        yield from label_files(paths, head, encoder, top=top, workers=workers)
        return
    with Engine.open(collection) as engine:
        head.artifact.require(engine.model.fingerprint, engine.model.name)
        if paths:
            yield from label_files(
                paths, head, engine.encoder, top=top, engine=engine, workers=workers
            )
            return
        yield from label_collection(engine, head, top=top)
        if save:
            from search.kept_labels import keep_by_head

            note(f"{keep_by_head(engine, head):,} labels kept")


def _read(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise typer.BadParameter(f"{file} cannot be read as text: {exc}") from exc


def _write(labelled: "Iterable[Labelled]", as_json: bool, as_csv: bool) -> None:
    from search.hits import LIKELY, display

    from .output import csv_line

    failed = False
    if as_csv:
        out(csv_line(["path", "label", "probability", "none"]))
    for item in labelled:
        path = display(item.path)
        if item.reason is not None:
            failed = True
            note(f"skipped {path}: {item.reason}")
        elif as_json:
            out(json.dumps(item.to_json(), ensure_ascii=False))
        elif as_csv:
            for name, probability in item.labels:
                out(csv_line([path, name, f"{probability:.6f}", item.none]))
        else:
            shown = [f"{name} {probability:.0%}" for name, probability in item.labels]
            if item.none is not None and item.none >= LIKELY:
                shown.insert(0, f"none of these {item.none:.0%}")
            out(f"{path}\t{', '.join(shown)}")
    if failed:
        raise typer.Exit(SOME_FILES_FAILED)
