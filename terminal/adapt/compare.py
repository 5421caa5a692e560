"""The command `clipdex adapt compare`."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from terminal import options
from terminal.console import SOME_FILES_FAILED, handle_errors, note, out, out_json

from .tune import needs_torch

if TYPE_CHECKING:
    from adaptation.report.outcome import Outcome


@handle_errors
def compare(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Labelled images: a folder with one folder per class, a CSV with the header "
            'path,label, or JSONL with "image" and "label".',
        ),
    ],
    target: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA2",
            help="Images of another domain, whose labels are wanted: a folder, or labelled images "
            "of the same classes, which then measure what crosses the gap.",
        ),
    ] = None,
    old: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="Other labelled images, on which the class names alone are tried before and after "
            "tuning.",
        ),
    ] = None,
    ways: Annotated[
        str | None,
        typer.Option(
            metavar="W",
            help="Only these, separated by commas: zero-shot, few-shot, probe, head, lora, full, "
            "scratch.",
            show_default="all",
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="MINUTES",
            help="How long it may take; epochs are cut, or ways left out, to fit.",
            show_default="as long as it takes",
        ),
    ] = None,
    epochs: Annotated[
        int, typer.Option(min=1, metavar="N", help="Passes over the images in tuning, at most.")
    ] = 5,
    out_file: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Where the page is written.")
    ] = Path("report.html"),
    model: options.BaseModel = None,
    seed: options.Seed = 0,
    device: options.TrainingDevice = "auto",
    workers: options.Workers = None,
    collection: options.Collection = None,
    as_json: options.Json = False,
) -> None:
    """Tell which way of learning pays on your images, in one page; needs clipdex[torch,report].

    Measured on one split: the class names alone, a head of five examples a class, a linear probe, a
    head, tuning by LoRA and of the whole image tower, and the same tower from random weights; with
    --target also what crosses the gap to another kind of images (`clipdex adapt domain`). A
    fifth of the images is tested on, once. What is finished is kept, so that an interrupted run
    goes on where it was; tuned models stay, for `clipdex index --model`.

    Example: clipdex adapt compare ./labelled --budget 30
    """
    from dataclasses import asdict
    from datetime import UTC, datetime

    from adaptation.data.checks import check
    from adaptation.data.examples import read_examples
    from adaptation.domain.checks import labels_there, require_apart
    from adaptation.domain.unlabelled import find_files, read_unlabelled
    from adaptation.report.outcome import TITLES
    from indexer import load_encoder
    from indexer.bundles.cache import cache_folder
    from indexer.devices.cpu_count import available_cores
    from indexer.errors import ExamplesError
    from indexer.load import active_model, find_bundle
    from indexer.store.collection import locate
    from indexer.store.lookup import lookup_where
    from indexer.store.paths import display
    from indexer.writable import obstacle
    from search.evaluation.dataset import read_ground_truth

    wanted = [*TITLES] if ways is None else [way.strip() for way in ways.split(",")]
    if unknown := sorted({*wanted} - {*TITLES}):
        raise typer.BadParameter(f"--ways has {unknown[0]!r}; there are {', '.join(TITLES)}")
    wanted = [way for way in TITLES if way in wanted or way == "zero-shot"]
    if (why := obstacle(out_file.absolute().parent)) is not None:
        raise ExamplesError(f"{out_file} cannot be written: {why}. Name another file with --out")
    truth, old_truth = read_ground_truth(data), read_ground_truth(old) if old else None
    classes = sorted({label for known in truth.values() for label in known.labels})
    target_truth = None if target is None else labels_there(target, classes)
    files = find_files(target) if target is not None and target.is_dir() else []
    if target is not None:
        require_apart(truth, files, data, target, names=("DATA", "--target"))
    place = locate(collection)
    base, fingerprint = (model, None) if model else active_model(place)
    bundle = find_bundle(base, fingerprint)
    bundle.require_compiled("fine-tuning")
    with needs_torch():
        from adaptation.report.experiment import Data, Experiment, old_accuracy, split
        from adaptation.report.other_domain import look_across
    try:
        from adaptation.report.page import Findings, page
    except ImportError as exc:
        raise ExamplesError(
            f"the report needs one more package ({exc.name}): pip install 'clipdex[report]'"
        ) from exc
    from adaptation.report.advice import advise
    from adaptation.report.budget import Budget

    encoder = load_encoder(base, fingerprint=bundle.fingerprint, threads=available_cores())
    with lookup_where(place, bundle.fingerprint) as stored:
        known = read_examples(truth, encoder, stored=stored, workers=workers)
        kept = (
            read_examples(old_truth, encoder, stored=stored, workers=workers) if old_truth else None
        )
        there = elsewhere = None
        if target is not None and target_truth is not None:
            there = read_examples(
                target_truth, encoder, classes=known.classes, stored=stored, workers=workers
            )
            elsewhere = there.vectors
        elif target is not None:
            unlabelled = read_unlabelled(target, files, encoder, stored=stored, workers=workers)
            elsewhere = unlabelled.vectors
    skipped = [skip for one in (known, kept, there) if one is not None for skip in one.skipped]
    for path, reason in skipped:
        note(f"skipped {display(path)}: {reason}")
    for finding in check(known):
        note(f"warning: {finding.message}")
    learn, test, by_scenes = split(known, seed)
    experiment = Experiment(
        bundle, encoder, Data(learn, test, kept, there), cache_folder() / "compare",
        Budget(None if budget is None else 60 * budget),
        seed=seed, epochs=epochs, device=device, on_note=note,
    )  # fmt: skip
    outcomes, left_out = experiment.run(wanted)
    before = None if kept is None else old_accuracy(kept, encoder)
    advice = advise(outcomes, shlex.quote(str(data)), known.classes, before)
    again = ["clipdex", "adapt", "compare", str(data), "--seed", str(seed), "--epochs", str(epochs)]
    again += [*(["--old", str(old)] if old else []), *(["--ways", ways] if ways else [])]
    domain = None
    if target is not None and elsewhere is not None:
        domain = look_across(
            experiment.learn, elsewhere, there, target.name,
            shlex.join(["clipdex", "adapt", "domain", "NAME", "--source", str(data)])
            + f" --target {shlex.quote(str(target))}",
            seed, note,
        )  # fmt: skip
        again += ["--target", str(target)]
    notes = list(left_out)
    if not by_scenes:
        notes.append(
            "a class is of one scene only, so its images are on both sides, and the figures are "
            "better than those of other places and times"
        )
        note(f"note: {notes[-1]}")
    found = Findings(
        data=data.name,
        model=base,
        outcomes=outcomes,
        advice=advice,
        test=test,
        learned=len(learn.targets),
        command=shlex.join(again),
        made=f"{datetime.now(UTC):%Y-%m-%d}, clipdex {_version()}, model {bundle.fingerprint[:12]}",
        before=before,
        domain=domain,
        notes=notes,
    )
    out_file.write_text(page(found), encoding="utf-8")
    if as_json:
        out_json(
            {
                "report": str(out_file),
                "recommended": advice.method,
                "command": advice.command,
                "reasons": list(advice.reasons),
                "left_out": left_out,
                "ways": [vars(one) for one in outcomes],
                "target": None if domain is None else asdict(domain),
            }
        )
    else:
        _tell(outcomes)
        out()
        out(f"Take: {found.chosen.title}. {advice.command}")
        for reason in advice.reasons:
            out(f"- {reason}")
        if domain is not None:
            out(f"{domain.name}: {domain.words}. {domain.command}")
        out(f"The page is {out_file}")
    if skipped:
        raise typer.Exit(SOME_FILES_FAILED)


def _tell(outcomes: "list[Outcome]") -> None:
    from adaptation.report.advice import duration

    width = max(len(one.title) for one in outcomes)
    out(f"{'':<{width}}  validation   test  time")
    for one in outcomes:
        validation = "" if one.validation is None else f"{100 * one.validation:.1f}"
        test = f"{100 * one.test:.1f}"
        out(f"{one.title:<{width}}  {validation:>10}  {test:>5}  {duration(one.seconds)}")


def _version() -> str:
    from importlib.metadata import version

    return version("clipdex")
