"""The commands `clipdex adapt text` and `text-predict`."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from terminal import options
from terminal.console import handle_errors, note, out, out_json

if TYPE_CHECKING:
    from adaptation.text.learn import LearntText
    from adaptation.text.sources import Source
    from indexer.store.collection import Collection

# As many lines of a file are classified at a time.
AT_ONCE = 256
MAX_MEGABYTES = 64


@handle_errors
def text(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called.")],
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help='A CSV with the header text,label, or JSONL with "text" and "label".',
        ),
    ],
    method: Annotated[
        str,
        typer.Option(
            metavar="M",
            help="probe learns a linear head on the text tower as it is; full, lora (few new "
            "weights) and scratch (from random weights) train the tower, too.",
        ),
    ] = "probe",
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="An encoder of transformers: a folder, or ORGANIZATION/NAME[@REVISION] of a hub.",
            show_default="the text tower of the collection's model",
        ),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="That encoder's tokenizer, where it has none beside."),
    ] = None,
    max_tokens: Annotated[
        int, typer.Option(min=8, metavar="N", help="Tokens of a text that --encoder reads.")
    ] = 128,
    validation: Annotated[
        Path | None,
        typer.Option(metavar="DATA", help="Texts to measure on, once, at the end."),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Passes over the texts.", show_default="10"),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=0, metavar="R", help="Peak learning rate.", show_default="1e-04"),
    ] = None,
    warmup: Annotated[
        float,
        typer.Option(
            min=0, max=1, metavar="S", help="Share of steps in which the learning rate warms up."
        ),
    ] = 0.1,
    batch_size: Annotated[int, typer.Option(min=2, metavar="N", help="Texts per step.")] = 32,
    seed: options.Seed = 0,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Go on where a check objects, and save what is worse than guessing."
        ),
    ] = False,
    device: options.TrainingDevice = "auto",
    collection: options.Collection = None,
    as_json: options.Json = False,
) -> None:
    """Train a classifier of texts on your own examples.

    It is saved in the collection: `clipdex adapt text-predict NAME` and `POST /v1/classify-text`
    use it, without torch. The probe needs no torch, either, unless with --encoder. A tower is
    trained with warm-up, and the epoch that is best on held-out texts is kept; an interrupted run
    is resumed. A tokenizer that is not the encoder's own is refused.

    Example: clipdex adapt text topics ./topics.csv
    """
    from dataclasses import replace

    from adaptation.artifact_writer import check_name
    from adaptation.text.examples import check_texts, read_labelled_texts
    from adaptation.text.learn import learn_text
    from adaptation.text.settings import METHODS, TUNED
    from adaptation.tuning.checks import check_settings
    from indexer.bundles.cache import cache_folder
    from indexer.store.collection import locate

    from .tune import needs_torch, objected

    check_name(name)
    if method not in METHODS:
        raise typer.BadParameter(f"--method: {method!r} is not one of {', '.join(METHODS)}")
    if tokenizer is not None and encoder is None:
        raise typer.BadParameter("--tokenizer goes with --encoder")
    tuning = TUNED.get(method)
    if tuning is not None:
        tuning = replace(
            tuning,
            epochs=epochs or tuning.epochs,
            rate=tuning.rate if rate is None else rate,
            warmup=warmup,
            batch_size=batch_size,
            seed=seed,
        )
        objected(check_settings(tuning), force)
    elif epochs is not None or rate is not None:
        raise typer.BadParameter("--epochs and --rate go with --method full, lora or scratch")
    examples = read_labelled_texts(data)
    held = read_labelled_texts(validation, examples.classes) if validation else None
    if not force and (found := check_texts(examples, held)):
        objected(found, force)
    place = locate(collection)
    place.require_writable()
    with TemporaryDirectory(prefix="clipdex-encoder-") as work:
        files = None
        if encoder is not None:
            from adaptation.text.huggingface_files import find_files

            files = find_files(encoder, tokenizer, Path(work), note)
        if tuning is not None:
            with needs_torch(f"--method {method}", "leave it out for a probe"):
                import adaptation.text.tuned  # noqa: F401
        source: Source
        if files is None:
            source = _own_model(place)
        else:
            with needs_torch("--encoder", "leave it out for the model's own text tower"):
                from adaptation.text.huggingface import HuggingFaceSource
            source = HuggingFaceSource(files, max_tokens)
        learnt = learn_text(
            place,
            name,
            examples,
            source,
            tuning,
            cache_folder() / "tuning" / f"text-{name}",
            validation=held,
            seed=seed,
            device=device,
            force=force,
            on_note=note,
        )
    if as_json:
        out_json(learnt.classifier.head.artifact.metadata)
    else:
        for line in _summary_of(learnt):
            out(line)


@handle_errors
def text_predict(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A classifier of `adapt text`.")],
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT...", help="Texts to classify; - reads one from each line of the input."
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also a text from each line of a file.")
    ] = None,
    top: Annotated[
        int, typer.Option(min=1, metavar="N", help="Number of labels to show per text.")
    ] = 3,
    collection: options.Collection = None,
    as_json: options.Json = False,
) -> None:
    """Say which of its labels a text classifier gives to texts.

    Empty lines of a file or of the input are left out.

    Example: clipdex adapt text-predict topics "two boats on the lake"
    """
    if not texts and file is None:
        raise typer.BadParameter("give texts, --file FILE, or - to read them from the input")

    from indexer.store.collection import locate
    from search.labels.text_classifier import find_text_classifier

    # Before a pipe is waited for.
    classifier = find_text_classifier(locate(collection).folder, name)
    wanted: list[str] = []
    for one in texts or ():
        wanted += _lines(None) if one == "-" else [one]
    if file is not None:
        wanted += _lines(file)
    for start in range(0, len(wanted), AT_ONCE):
        part = wanted[start : start + AT_ONCE]
        for one, (labels, none) in zip(part, classifier.best(part, top), strict=True):
            if as_json:
                out_json(
                    {
                        "text": one,
                        "labels": [
                            {"label": label, "probability": round(share, 6)}
                            for label, share, _ in labels
                        ],
                        "none": none,
                    }
                )
                continue
            out(one, ", ".join(f"{label} {share:.0%}" for label, share, _ in labels))


def _lines(file: Path | None) -> list[str]:
    """Return the lines of a file, or with None those of the input, without empty ones."""
    from indexer.errors import QueryError
    from indexer.text_files import read_bytes

    what = "the input" if file is None else str(file)
    try:
        if file is None:
            data = sys.stdin.buffer.read(MAX_MEGABYTES * 1_000_000 + 1)
        else:
            data = read_bytes(file, megabytes=MAX_MEGABYTES)
    except OSError as exc:
        raise QueryError(f"{what} cannot be read: {exc.strerror or exc}") from exc
    if len(data) > MAX_MEGABYTES * 1_000_000:
        raise QueryError(f"{what} has more than {MAX_MEGABYTES} MB: classify it in parts")
    try:
        lines = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise QueryError(
            f"{what}, line {line}: it is not in UTF-8, which is expected: convert it, such as with "
            "`iconv -f LATIN1 -t UTF-8`"
        ) from exc
    return [stripped for line in lines if (stripped := line.strip())]


def _own_model(place: "Collection") -> "Source":
    """Return the text tower of the collection's model."""
    from adaptation.text.sources import ClipSource
    from indexer.encoders.onnx_encoder import OnnxEncoder
    from indexer.load import active_model, find_bundle

    bundle = find_bundle(*active_model(place))
    return ClipSource(bundle, OnnxEncoder(bundle, device="cpu"))


def _summary_of(learnt: "LearntText") -> list[str]:
    classifier, metrics = learnt.classifier, learnt.metrics
    lines = [f"{classifier.name}: {len(classifier.classes):,} classes"]
    for key, of in (("held_out", "held-out texts"), ("validation", "validation texts")):
        if measured := metrics[key]:
            lines.append(_figures(measured, of))
    if not metrics["held_out"]:
        lines.append("accuracy unknown, as nothing could be held out")
    return [*lines, f'use it: clipdex adapt text-predict {classifier.name} "a text"']


def _figures(measured: dict[str, Any], of: str) -> str:
    return (
        f"{measured['accuracy']:.1%} accuracy on {measured['texts']:,} {of}, "
        f"± {100 * measured['margin']:.0f} points (the largest class alone "
        f"{measured['largest_class']:.1%}), calibration error {measured['calibration_error']:.1%}"
    )
