"""The command `clipdex label`."""

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import completion, options
from .console import SOME_FILES_FAILED, handle_errors, note, out, out_json

# Encoding as many takes a quarter of an hour; ImageNet's largest list has 21,841.
MAX_LABELS = 100_000

if TYPE_CHECKING:
    from indexer.encoder import Encoder
    from search.labels.apply import Labelled


@handle_errors
def label(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH...",
            help="Images or folders, or their URLs, indexed or not; default: the whole collection.",
        ),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(metavar='"A,B"', help="The labels, separated by commas.")
    ] = None,
    labels_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file of labels, one per line.")
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A head made by `clipdex adapt train`, in place of labels.",
            autocompletion=completion.heads,
        ),
    ] = None,
    save: Annotated[
        bool,
        typer.Option(
            "--save",
            help="Save each image's best label in the collection, replacing those that this head "
            "gave before.",
        ),
    ] = False,
    template: options.Templates = None,
    top: Annotated[
        int, typer.Option(min=1, metavar="N", help="Number of labels to show per image.")
    ] = 5,
    workers: options.Workers = None,
    collection: options.Collection = None,
    as_json: options.Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a header.")] = False,
) -> None:
    """Say which of your labels each image shows.

    With --labels, any words will do and nothing is trained (zero-shot); several --template are
    averaged. With --head, labels come from a head trained on your examples. A label's percentage is
    its share of all labels (which of them is it?); the one in brackets says how likely it is there
    at all. When no label fits, "none of these" comes first, with its own probability.

    Example: clipdex label ./photos --labels "cat,dog,neither" --csv

    Example: clipdex label --head machine-parts --save
    """
    if [labels, labels_file, head].count(None) != 2:
        raise typer.BadParameter("name the labels with one of --labels, --labels-file and --head")
    if as_json and as_csv:
        raise typer.BadParameter("choose one of --json and --csv")
    if head is not None and template:
        raise typer.BadParameter("--template does not apply to a head, which has learnt its labels")
    if save and head is None:
        raise typer.BadParameter("--save needs a head: name one with --head")
    if save and paths:
        raise typer.BadParameter("--save labels the whole collection: leave out PATH")
    names = _read(labels_file) if labels_file else (labels or "").split(",")
    if head is None and not any(name.strip() for name in names):
        raise typer.BadParameter("there are no labels in --labels or --labels-file")
    options.check_templates(template)

    from indexer import load_encoder
    from indexer.devices.cpu_count import available_cores
    from indexer.load import active_model
    from indexer.store.catalog import write_transaction
    from indexer.store.collection import locate
    from indexer.store.tables.labels import head_origin
    from search import Engine
    from search.labels.apply import label_collection, label_files
    from search.labels.heads import find_head
    from search.labels.saved import labels_by_head
    from search.labels.zero_shot import Labeller

    place = locate(collection)
    learnt = find_head(place.folder, head) if head is not None else None
    with ExitStack() as stack:
        engine = None
        if place.exists or not paths:
            engine = stack.enter_context(Engine.open(collection))
        model, fingerprint = active_model(place)

        def load() -> "Encoder":
            return load_encoder(model, fingerprint=fingerprint, threads=available_cores())

        if engine is not None and not paths:  # stored vectors: a head needs no encoder
            if learnt is not None:
                learnt.artifact.require(engine.model.fingerprint, model)
            labeller = learnt or Labeller(load(), names, template or (), engine.estimator)
            with engine.question():
                _write(label_collection(engine, labeller, top=top), as_json, as_csv)
            if save and learnt is not None:
                saved = labels_by_head(engine, learnt)
                with write_transaction(engine.collection, "label") as catalog:
                    catalog.remove_labels_of(head_origin(learnt.name))
                    count = catalog.save_labels(saved)
                note(f"{count:,} labels kept")
            return
        encoder = load()
        if learnt is not None:
            learnt.artifact.require(encoder.fingerprint, model)
        estimator = engine.estimator if engine is not None else None
        labeller = learnt or Labeller(encoder, names, template or (), estimator)
        labelled = label_files(
            paths or (), labeller, encoder, top=top, engine=engine, workers=workers
        )
        _write(labelled, as_json, as_csv)


def _read(file: Path) -> list[str]:
    from indexer.text_files import read_text

    try:
        lines = read_text(file).splitlines()
    except OSError as exc:
        raise typer.BadParameter(f"{file} cannot be read: {exc.strerror or exc}") from exc
    except UnicodeDecodeError as exc:
        raise typer.BadParameter(f"{file} cannot be read as text: {exc}") from exc
    if len(lines) > MAX_LABELS:
        raise typer.BadParameter(
            f"{file} has {len(lines):,} labels, and at most {MAX_LABELS:,} can be compared"
        )
    return lines


def _write(labelled: "Iterable[Labelled]", as_json: bool, as_csv: bool) -> None:
    from indexer.store.paths import display
    from search.hits import LIKELY

    from .results.output import out_csv

    failed = False
    if as_csv:
        out_csv("path", "label", "probability", "none", "relevance")
    for item in labelled:
        path = display(item.path)
        if item.reason is not None:
            failed = True
            note(f"skipped {path}: {item.reason}")
        elif as_json:
            out_json(item.to_json())
        elif as_csv:
            for one in item.labels:
                out_csv(path, one.label, f"{one.probability:.6f}", item.none, one.relevance)
        else:
            shown = [
                f"{one.label} {one.probability:.0%}"
                + ("" if one.relevance is None else f" (there {one.relevance:.0%})")
                for one in item.labels
            ]
            if item.none is not None and item.none >= LIKELY:
                shown.insert(0, f"none of these {item.none:.0%}")
            out(path, ", ".join(shown))
    if failed:
        raise typer.Exit(SOME_FILES_FAILED)
