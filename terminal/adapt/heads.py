"""The commands `clipdex adapt train`, `concept`, `list`, `show` and `remove`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from indexer.errors import ArtifactError
from terminal import options
from terminal.console import SOME_FILES_FAILED, handle_errors, note, out, out_json

if TYPE_CHECKING:
    from adaptation.train import Trained

Name = Annotated[str, typer.Argument(metavar="NAME", help="What it is called.")]
Force = Annotated[
    bool,
    typer.Option(
        "--force", help="Go on where a check objects, and save what is worse than zero-shot."
    ),
]


@handle_errors
def train(
    name: Name,
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DATA]",
            help="A folder with one folder per class, a CSV with the header path,label, or JSONL "
            'with "image" and "label".',
            show_default="the labels of `clipdex tags`",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="M",
            help="zero-shot-probe, linear-probe, lp++, mlp, tip-adapter, tip-adapter-f, "
            "clip-adapter, coop, prototypes, k-nn or siamese.",
            show_default="zero-shot-probe",
        ),
    ] = None,
    validation: Annotated[
        Path | None,
        typer.Option(metavar="DATA", help="Images to measure on, once, at the end."),
    ] = None,
    template: options.Templates = None,
    seed: options.Seed = 0,
    force: Force = False,
    workers: options.Workers = None,
    collection: options.Collection = None,
    as_json: options.Json = False,
) -> None:
    """Train a classifier for your own classes.

    The result, a head, is saved in the collection: `clipdex label --head NAME` uses it, and so does
    `clipdex search --label "CLASS>0.8"`. Indexed images are not encoded again. Settings are chosen
    on held-out examples, and shots of one scene are held out together. A head that is worse there
    than its class names alone (zero-shot) is not saved. The methods tip-adapter-f, mlp,
    clip-adapter, coop and siamese need clipdex[torch].

    Example: clipdex adapt train machine-parts ./labelled
    """
    options.check_templates(template)

    from adaptation.artifact_writer import check_name
    from adaptation.data.examples import read_examples
    from adaptation.methods.registry import METHODS, RECOMMENDED
    from adaptation.needs_torch import require_torch
    from adaptation.train import train as learn
    from indexer import load_encoder
    from indexer.devices.cpu_count import available_cores
    from indexer.load import active_model
    from indexer.store.collection import locate
    from indexer.store.lookup import lookup_where
    from indexer.store.paths import display
    from search.evaluation.dataset import read_ground_truth
    from search.evaluation.own_labels import own_labels

    chosen = method or RECOMMENDED
    if chosen not in METHODS:
        raise typer.BadParameter(f"--method: {chosen!r} is not one of {', '.join(METHODS)}")
    check_name(name)
    require_torch(METHODS[chosen](), METHODS)
    place = locate(collection)
    place.require_writable()
    truth = own_labels(place) if data is None else read_ground_truth(data)
    held_truth = None if validation is None else read_ground_truth(validation)
    model, fingerprint = active_model(place)
    encoder = load_encoder(model, fingerprint=fingerprint, threads=available_cores())
    with lookup_where(place, encoder.fingerprint) as stored:
        examples = read_examples(truth, encoder, stored=stored, workers=workers)
        held = None
        if held_truth is not None:
            held = read_examples(
                held_truth,
                encoder,
                classes=examples.classes,
                stored=stored,
                workers=workers,
            )
    skipped = [*examples.skipped, *(held.skipped if held else ())]
    for path, reason in skipped:
        note(f"skipped {display(path)}: {reason}")
    trained = learn(
        place,
        name,
        examples,
        encoder,
        METHODS[chosen](),
        model=model,
        validation=held,
        templates=template or (),
        seed=seed,
        force=force,
        on_note=note,
    )
    manifest = trained.head.artifact.metadata
    if as_json:
        out_json(manifest)
    else:
        for line in _summary_of(trained):
            out(line)
    if skipped:
        raise typer.Exit(SOME_FILES_FAILED)


@handle_errors
def concept(
    name: Name,
    like: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="An image that shows it.")
    ] = None,
    unlike: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="An image that only seems to show it.")
    ] = None,
    collection: options.Collection = None,
    as_json: options.Json = False,
) -> None:
    """Define a word of your own by images that show what it means.

    It can be used in the text of every query; `@NAME` never means anything else.

    Example: clipdex adapt concept rex --like rex1.jpg --like rex2.jpg --unlike wolf.jpg
    """
    if not like:
        raise typer.BadParameter("give an image that shows it with --like FILE")

    import numpy as np

    from adaptation.artifact_writer import check_name
    from adaptation.concepts import learn_concept
    from search import Engine

    check_name(name)
    with Engine.open(collection) as engine:
        engine.collection.require_writable()
        with engine.question():
            liked, unliked = (
                np.array([engine.vector_of(path)[0] for path in paths], np.float32)
                for paths in (like, unlike or [])
            )
        made = learn_concept(
            engine.collection,
            name,
            liked,
            unliked,
            fingerprint=engine.model.fingerprint,
            model=engine.model.name,
            images={"like": like, "unlike": unlike or []},
        )
    if as_json:
        out_json(made.artifact.metadata)
    else:
        out(f"{name} is a word now: try `clipdex search {name}`")


@handle_errors
def list_learned(collection: options.Collection = None, as_json: options.Json = False) -> None:
    """List the heads, concepts and text classifiers of a collection.

    Example: clipdex adapt list
    """
    from adaptation.learned import learned
    from indexer.store.collection import locate

    failed = False
    for folder in learned(locate(collection)):
        try:
            manifest = _manifest(folder)
        except ArtifactError as exc:
            failed = True
            note(f"skipped {folder.name}: {exc}, or `clipdex adapt remove` it")
            continue
        if as_json:
            out_json(_summary(manifest))
        elif manifest.get("task") == "text":
            out(
                f"{manifest['name']}  {len(manifest['classes']):,} classes of texts, "
                f"{manifest['method']}"
            )
        elif "classes" in manifest:
            out(f"{manifest['name']}  {len(manifest['classes']):,} classes, {manifest['method']}")
        else:
            out(f"{manifest['name']}  a concept of {len(manifest['images']['like'])} images")
    if failed:
        raise typer.Exit(SOME_FILES_FAILED)


@handle_errors
def show(name: Name, collection: options.Collection = None) -> None:
    """Print everything that is known about a head, concept or text classifier, as JSON.

    Example: clipdex adapt show machine-parts
    """
    from adaptation.learned import find_learned
    from indexer.store.collection import locate

    for folder in find_learned(locate(collection), name):
        out_json(_manifest(folder), indent=1)


@handle_errors
def remove(name: Name, collection: options.Collection = None) -> None:
    """Delete a head, concept or text classifier, and the labels that the head gave.

    Example: clipdex adapt remove machine-parts
    """
    from adaptation.learned import remove_learned
    from indexer.store.collection import locate

    remove_learned(locate(collection), name)
    out(f"{name} removed")


def _manifest(folder: Path) -> dict[str, Any]:
    from search.labels.artifact import read_manifest

    return read_manifest(folder)


def _summary(manifest: Any) -> dict[str, Any]:
    keys = ("name", "kind", "task", "method", "classes", "model", "fingerprint", "metrics", "made")
    return {key: manifest[key] for key in keys if key in manifest}


def _summary_of(trained: "Trained") -> list[str]:
    metrics, head = trained.metrics, trained.head
    lines = [f"{head.name}: {len(head.classes):,} classes"]
    if held := metrics["held_out"]:
        of = f"held-out examples of {held['scenes']:,} scenes"
        lines.append(_figures(held, of))
    else:
        lines.append(
            "accuracy unknown, as nothing could be held out (zero-shot "
            f"{metrics['zero_shot']:.1%} on the examples)"
        )
    if measured := metrics["validation"]:
        lines.append(_figures(measured, "validation images"))
    return [*lines, f"use it: clipdex label --head {head.name}"]


def _figures(measured: dict[str, Any], of: str) -> str:
    return (
        f"{measured['accuracy']:.1%} accuracy on {measured['images']:,} {of}, "
        f"± {100 * measured['margin']:.0f} points (zero-shot {measured['zero_shot']:.1%}), "
        f"calibration error {measured['calibration_error']:.1%}"
    )
